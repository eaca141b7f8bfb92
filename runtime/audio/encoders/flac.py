"""The length in the header of a flac file, which libsndfile leaves open in one that is cut off.

RFC 9639 puts it into the first block of metadata, 13 bytes from its start: 36 bits, the number of
samples, after 28 bits of other fields.
"""

from io import FileIO

from bark_onnx.graphs.files.atomic_write import write_all

_LENGTH_AT = 4 + 4 + 13  # after the signature and the header of the block
_LENGTH_BYTES = 5
_OTHER_BITS = 0xF << 36  # of the first of those bytes


def set_length(file: FileIO, samples: int) -> None:
    """Write the number of samples into the header of an open file."""
    file.seek(_LENGTH_AT)
    others = int.from_bytes(file.read(_LENGTH_BYTES), "big") & _OTHER_BITS
    file.seek(_LENGTH_AT)
    write_all(file, (others | samples).to_bytes(_LENGTH_BYTES, "big"))
