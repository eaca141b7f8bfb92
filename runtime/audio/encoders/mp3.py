"""The length in the first frame of an mp3 file that is cut off, which LAME states for the whole.

ISO 11172-3 and 13818-3 define the header of a frame, LAME's first frame the numbers behind "Info".
"""

import struct
from collections.abc import Iterator
from io import FileIO

from bark_onnx.graphs.files.atomic_write import write_all

_HEADER_BYTES = 4
# In kbit/s, of MPEG 1 and of its extensions to lower rates.
_BIT_RATES = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_LOW_BIT_RATES = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_SAMPLE_RATES_HZ = (44_100, 48_000, 32_000)
_SHIFTS = {3: 0, 2: 1, 0: 2}  # of those rates, by the version in the header: MPEG 1, 2 and 2.5

_ID3_BYTES = 10  # of the header of an ID3 tag, which ends with the tag's size
_INFO = b"Info"
_FLAGS_BYTES = 4  # after that name
_LENGTH = struct.Struct(">II")  # after those: frames behind the first one, and bytes


def set_length(file: FileIO) -> None:
    """Write the length of the sound into an open file, whose last frame may be cut off."""
    begin = _after_id3(file)
    ends = [begin, *_frame_ends(file, begin)]
    file.truncate(ends[-1])
    found = _read(file, begin, ends[:2][-1] - begin).find(_INFO)
    if found >= 0:
        file.seek(begin + found + len(_INFO) + _FLAGS_BYTES)
        write_all(file, _LENGTH.pack(len(ends) - 2, ends[-1] - begin))


def _frame_ends(file: FileIO, at: int) -> Iterator[int]:
    size = file.seek(0, 2)
    while frame_bytes := _frame_bytes(_read(file, at, _HEADER_BYTES)):
        at += frame_bytes
        if at > size:
            return
        yield at


def _after_id3(file: FileIO) -> int:
    header = _read(file, 0, _ID3_BYTES)
    if not header.startswith(b"ID3"):
        return 0
    size = 0
    for byte in header[-4:]:  # seven bits of each
        size = size << 7 | byte
    return min(_ID3_BYTES + size, file.seek(0, 2))


def _read(file: FileIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)


def _frame_bytes(header: bytes) -> int:
    """Size of the frame that begins with a header; 0 if none does."""
    if len(header) < _HEADER_BYTES or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:  # layer III
        return 0
    shift = _SHIFTS.get(header[1] >> 3 & 3)
    bit_rate, rate = header[2] >> 4, header[2] >> 2 & 3
    if shift is None or bit_rate == len(_BIT_RATES) or rate == len(_SAMPLE_RATES_HZ):
        return 0
    kilobits = (_LOW_BIT_RATES if shift else _BIT_RATES)[bit_rate]
    slots = (72 if shift else 144) * kilobits * 1000 // (_SAMPLE_RATES_HZ[rate] >> shift)
    return slots + (header[2] >> 1 & 1) if kilobits else 0
