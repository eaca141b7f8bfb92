"""Ogg streams that are the same bytes for the same sound.

libsndfile takes the serial number of a stream from the clock and has no setting for it. RFC 3533
defines a page: flags at 5, serial number at 14, checksum at 22, number of segments at 26, then
their lengths.
"""

import io
import struct
import zlib
from io import FileIO
from typing import BinaryIO

from bark_onnx.graphs.files.atomic_write import write_all

_SERIAL = 1
_SERIAL_AT, _CHECKSUM_AT, _SEGMENTS_AT = 14, 22, 26
_NUMBER = struct.Struct("<I")
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def fix_serial(file: FileIO) -> None:
    """Replace the serial number of the only stream in an open Ogg file by a constant.

    A page that is cut off, as on a full disk, is removed.
    """
    at = file.seek(0)
    while page := _read_page(file):
        file.seek(at)
        write_all(file, page)
        at += len(page)
    file.truncate(at)


def fix_pages(data: bytes) -> bytes:
    """Whole Ogg pages with the constant serial number."""
    pages = io.BytesIO(data)
    return b"".join(iter(lambda: _read_page(pages), b""))


def _read_page(file: BinaryIO | FileIO) -> bytes:
    """The next page with the constant serial number; empty at the end, or if it is cut off."""
    header = file.read(_SEGMENTS_AT + 1)
    if len(header) <= _SEGMENTS_AT:
        return b""
    lengths = file.read(header[_SEGMENTS_AT])
    body = file.read(sum(lengths))
    if len(lengths) < header[_SEGMENTS_AT] or len(body) < sum(lengths):
        return b""
    page = bytearray(header + lengths + body)
    _NUMBER.pack_into(page, _SERIAL_AT, _SERIAL)
    _NUMBER.pack_into(page, _CHECKSUM_AT, 0)  # its value while the checksum is taken
    _NUMBER.pack_into(page, _CHECKSUM_AT, _checksum(page))
    return bytes(page)


def _checksum(page: bytearray) -> int:
    """Ogg's checksum: zlib's polynomial with mirrored bits, and no inversions."""
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(_MIRRORED), "big")
