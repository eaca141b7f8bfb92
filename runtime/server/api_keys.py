"""API keys: one of an option, and those of a file, which is read again when it changes."""

import hashlib
import hmac
import time
from pathlib import Path

from bark_onnx.graphs.errors import OptionsError
from bark_onnx.graphs.files.atomic_write import wrap_os_errors
from bark_onnx.runtime.server.logs import log

_CHECK_SECONDS = 1.0  # between two looks at the file
_NAME_CHARACTERS = 16  # of a key's checksum, which stands for it


class ApiKeys:
    """Keys of which every request has to carry one.

    Args:
        key: A key; None: no such key.
        file: File with one key per line, blank lines and lines that begin with # aside; None: no
            file.

    Raises:
        OptionsError: A key is invalid, or the file cannot be read or has no key.
    """

    def __init__(self, key: str | None, file: Path | None) -> None:
        if key is not None:
            check_key(key, "The API key")
        self._fixed = [] if key is None else [key]
        self._file = file
        self._signature = None if file is None else _signature(file)
        self._names = _names(self._fixed if file is None else [*self._fixed, *read_keys(file)])
        self._checked = time.monotonic()

    @property
    def is_required(self) -> bool:
        """Whether requests need a key."""
        return bool(self._names)

    def find(self, authorization: str) -> str | None:
        """Name of the key in a header Authorization; None: it has none of the keys.

        The time does not depend on the key.
        """
        if self._file is not None and time.monotonic() - self._checked > _CHECK_SECONDS:
            self._refresh(self._file)
        scheme, _, token = authorization.partition(" ")
        given = token.strip().encode()
        matches = [name for key, name in self._names.items() if hmac.compare_digest(given, key)]
        return matches[0] if matches and scheme.lower() == "bearer" else None

    def _refresh(self, file: Path) -> None:
        """Read the file again if it has changed; after an error, the former keys stay valid."""
        self._checked = time.monotonic()
        signature = _signature(file)
        if signature == self._signature:
            return
        self._signature = signature
        try:
            keys = read_keys(file)
        except OptionsError as error:
            log.error("former API keys stay valid", extra={"fields": {"error": str(error)}})
            return
        self._names = _names([*self._fixed, *keys])
        log.info("API keys were read again", extra={"fields": {"keys": len(self._names)}})


def read_keys(file: Path) -> list[str]:
    """The keys of a file.

    Raises:
        OptionsError: The file cannot be read, has no key, or one with an invalid character.
    """
    try:
        with wrap_os_errors(OptionsError, f"{file}: cannot be read"):
            lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise OptionsError(f"{file}: is not UTF-8; expected one API key per line") from error
    keys = [(number, line) for number, line in enumerate(lines, 1) if line and line[0] != "#"]
    for number, key in keys:
        check_key(key, f"{file}: line {number}")
    if not keys:
        raise OptionsError(f"{file}: has no API key; expected one per line")
    return [key for _, key in keys]


def check_key(key: str, where: str) -> None:
    """Check that a header can carry a key.

    Raises:
        OptionsError: It cannot; the message does not show it.
    """
    if not key:
        raise OptionsError(f"{where} is empty; expected a secret, or no key at all")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise OptionsError(
            f"{where} has a character that is invalid in HTTP; expected printable ASCII without "
            "spaces"
        )


def _names(keys: list[str]) -> dict[bytes, str]:
    """A name for each key that does not reveal it."""
    encoded = [key.encode() for key in keys]
    return {key: f"key {hashlib.sha256(key).hexdigest()[:_NAME_CHARACTERS]}" for key in encoded}


def _signature(file: Path) -> tuple[int, ...] | None:
    """What changes with the contents of a file; None: it cannot be read."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
