"""Names of sound files from ids: the same on every system, and never outside of their folder."""

import hashlib
import re
from urllib.parse import quote

_MAX_CHARACTERS = 120  # of a name without its suffix; file systems allow 255 bytes
_DIGEST_DIGITS = 16
# What Windows takes for a device, whatever the suffix.
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d|conin\$|conout\$)(\.|$)", re.IGNORECASE)


def file_name(row_id: str, suffix: str) -> str:
    """The name of a row's file.

    Letters of ASCII, digits, ".", "-" and "_" stay, others become %XX as in a URL. A long name is
    cut, and ends with a checksum of the id.

    Args:
        row_id: Id of the row.
        suffix: Name of the format.
    """
    name = quote(row_id, safe="").replace("~", "%7E")
    if name.startswith(".") or _DEVICE.match(name):
        name = f"%{ord(name[0]):02X}{name[1:]}"
    if len(name) > _MAX_CHARACTERS:
        digest = hashlib.sha256(row_id.encode()).hexdigest()[:_DIGEST_DIGITS]
        name = f"{name[: _MAX_CHARACTERS - _DIGEST_DIGITS - 1]}-{digest}"
    return f"{name}.{suffix}"


def key_of(name: str) -> str:
    """What two names share that are one file where upper and lower case do not differ."""
    return name.lower()
