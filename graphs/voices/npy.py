"""One array from the bytes of an .npy file, without numpy's reader of headers.

That one evaluates a header as Python, allocates what it says, and raises errors of ten classes.
"""

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.files.dataclass_json import shown

NPY_SIGNATURE = b"\x93NUMPY"

_PICKLE = b"\x80"
_LENGTH_BYTES = {b"\x01\x00": 2, b"\x02\x00": 4}  # of the header's length, by version
_MAX_HEADER_BYTES = 10_000  # numpy's own limit
_DTYPE = re.compile(rb"""['"]descr['"]\s*:\s*['"]([<>|=]?[biufcmMOSUV]\d{0,4}(?:\[\w+\])?)['"]""")
_ORDER = re.compile(rb"""['"]fortran_order['"]\s*:\s*(True|False)""")
_SHAPE = re.compile(rb"""['"]shape['"]\s*:\s*\(([\d\sL,]*)\)""")  # Python 2 wrote 300L


def parse_npy(contents: bytes) -> NDArray[Any]:
    """The array of an .npy file, read-only.

    Raises:
        ValueError, TypeError: The bytes are something else, or a pickle.
    """
    check_npy_signature(contents)
    start = len(NPY_SIGNATURE) + 2
    version = contents[len(NPY_SIGNATURE) : start]
    if version not in _LENGTH_BYTES:
        raise ValueError(f"version {list(version)} of .npy, expected [1, 0] or [2, 0]")
    begin = start + _LENGTH_BYTES[version]
    length = int.from_bytes(contents[start:begin], "little")
    header = contents[begin : begin + length]
    if length > _MAX_HEADER_BYTES:
        most = f"expected at most {_MAX_HEADER_BYTES}"
        raise ValueError(f"the header of an array has {length} bytes, {most}")
    if len(header) != length:
        raise ValueError(f"the header of an array has {length} bytes, found {len(header)}")
    return _parse_data(header, contents[begin + length :])


def check_npy_signature(contents: bytes) -> None:
    """Check that bytes begin as an .npy file does.

    Raises:
        ValueError: They do not, or are a pickle.
    """
    if contents.startswith(_PICKLE):
        raise _pickled()
    if not contents.startswith(NPY_SIGNATURE):
        raise ValueError("it is neither an .npz nor an .npy file")


def _parse_data(header: bytes, data: bytes) -> NDArray[Any]:
    found = [pattern.search(header) for pattern in (_DTYPE, _ORDER, _SHAPE)]
    if not all(found):
        raise ValueError(f"the header of an array is {shown(header)}")
    descr, order, lengths = (match[1].decode("ascii") for match in found if match)
    dtype = np.dtype(descr)
    if dtype.hasobject:
        raise _pickled()
    shape = tuple(int(length.rstrip("L ")) for length in lengths.split(",") if length.strip())
    size = math.prod(shape) * dtype.itemsize
    if size != len(data):
        raise ValueError(f"an array has {len(data)} bytes, expected {shown(size)} by its shape")
    array = np.frombuffer(data, dtype)
    return array.reshape(shape, order="F" if order == "True" else "C")


def _pickled() -> ValueError:
    return ValueError("it holds pickled objects, which can run code; expected plain integer arrays")
