"""Ogg streams with the same bytes for the same sound.

libsndfile draws the serial number of the stream by the clock and has no setting for it. RFC 3533
has the layout of a page: at 5 its flags, at 14 the serial number, at 22 the checksum, at 26 the
number of segments, then their lengths.
"""

import struct
import zlib
from pathlib import Path
from typing import BinaryIO

_SERIAL = 1
_SERIAL_AT, _CHECKSUM_AT, _SEGMENTS_AT = 14, 22, 26
_NUMBER = struct.Struct("<I")
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def fix_serial(path: Path) -> None:
    """Give the only stream of an Ogg file another serial number, always the same."""
    with path.open("r+b") as file:
        while page := read_page(file):
            file.seek(-len(page), 1)
            file.write(page)


def read_page(file: BinaryIO) -> bytes:
    """The next page of an Ogg stream with the serial number that is always the same.

    Returns:
        The page; nothing at the end.
    """
    header = file.read(_SEGMENTS_AT + 1)
    if not header:
        return b""
    lengths = file.read(header[_SEGMENTS_AT])
    page = bytearray(header + lengths + file.read(sum(lengths)))
    _NUMBER.pack_into(page, _SERIAL_AT, _SERIAL)
    _NUMBER.pack_into(page, _CHECKSUM_AT, 0)  # as it is when the checksum is taken
    _NUMBER.pack_into(page, _CHECKSUM_AT, _checksum(page))
    return bytes(page)


def _checksum(page: bytearray) -> int:
    """Ogg's checksum: zlib's polynomial with every bit the other way round, and no inversions."""
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(_MIRRORED), "big")
