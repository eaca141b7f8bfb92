"""Ogg streams that are the same bytes for the same sound.

libsndfile takes the serial number of a stream from the clock and has no setting for it. RFC 3533
defines a page: flags at 5, serial number at 14, checksum at 22, number of segments at 26, then
their lengths.
"""

import io
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

_SERIAL = 1
_SERIAL_AT, _CHECKSUM_AT, _SEGMENTS_AT = 14, 22, 26
_NUMBER = struct.Struct("<I")
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def fix_serial(path: Path) -> None:
    """Replace the serial number of the only stream in an Ogg file by a constant."""
    with path.open("r+b") as file:
        while page := _read_page(file):
            file.seek(-len(page), 1)
            file.write(page)


def fix_pages(data: bytes) -> bytes:
    """Whole Ogg pages with the constant serial number."""
    pages = io.BytesIO(data)
    return b"".join(iter(lambda: _read_page(pages), b""))


def _read_page(file: BinaryIO) -> bytes:
    """The next page with the constant serial number; empty at the end."""
    header = file.read(_SEGMENTS_AT + 1)
    if not header:
        return b""
    lengths = file.read(header[_SEGMENTS_AT])
    page = bytearray(header + lengths + file.read(sum(lengths)))
    _NUMBER.pack_into(page, _SERIAL_AT, _SERIAL)
    _NUMBER.pack_into(page, _CHECKSUM_AT, 0)  # its value while the checksum is taken
    _NUMBER.pack_into(page, _CHECKSUM_AT, _checksum(page))
    return bytes(page)


def _checksum(page: bytearray) -> int:
    """Ogg's checksum: zlib's polynomial with mirrored bits, and no inversions."""
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(_MIRRORED), "big")
