"""Arrays of integers from untrusted .npz and .npy files: any bytes are arrays, or a VoiceError.

Sizes are checked before anything is read or allocated, and pickles are never loaded. Knows nothing
of the meaning of the arrays.
"""

import hashlib
import io
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from bark_onnx.graphs.errors import BarkError, VoiceError, joined_lines, shortened
from bark_onnx.graphs.files.regular_file import file_size, read_file
from bark_onnx.graphs.voices.npy import NPY_SIGNATURE, check_npy_signature, parse_npy

# A voice of the largest length as int64 has under one megabyte.
MAX_BYTES = 4 << 20

_ZIP = b"PK"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # those of numpy
_IS_ENCRYPTED = 1  # bit of an entry's flags
_REMEDY = "get the file again"
_MAX_SHOWN = 200  # characters of a reason


@dataclass(frozen=True)
class VoiceFile:
    """An .npz file in memory."""

    path: Path
    contents: bytes = field(repr=False)

    @classmethod
    def read(cls, path: str | Path) -> "VoiceFile":
        """Read a file once.

        Raises:
            VoiceError: The file is missing, unreadable, or too large.
        """
        path = Path(path)
        try:
            _check_size(file_size(path, VoiceError, remedy=_REMEDY), str(path))
            return cls(path, read_file(path, VoiceError, max_bytes=MAX_BYTES, remedy=_REMEDY))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise VoiceError(f"{path}: no such file; expected a voice as .npz") from error

    @property
    def sha256(self) -> str:
        """Checksum of the contents, hexadecimal."""
        return hashlib.sha256(self.contents).hexdigest()

    def arrays(self, keys: Iterable[str]) -> dict[str, Any]:
        """The arrays of the file whose names are in `keys`.

        Raises:
            VoiceError: The file is not an .npz file, or unpacks to too many bytes.
        """
        return read_npz(io.BytesIO(self.contents), keys, name=str(self.path))


def read_npz(file: BinaryIO, keys: Iterable[str], *, name: str) -> dict[str, Any]:
    """The arrays of an open .npz file whose names are in `keys`.

    Raises:
        VoiceError: The file is unreadable, not an .npz file, or too large.
    """
    with _wrap_errors(f"{name}: not a voice"):
        _check_size(_size(file), name)
        _check_signature(file, name)
        with zipfile.ZipFile(file) as archive:
            found = {key: f"{key}.npy" for key in keys}
            entries = {
                key: archive.getinfo(entry)
                for key, entry in found.items()
                if entry in archive.NameToInfo
            }
            _check_size(sum(entry.file_size for entry in entries.values()), name)
            return {key: _read_entry(archive, entry) for key, entry in entries.items()}


def read_npy(path: Path, *, name: str) -> Any:
    """The array of an .npy file.

    Raises:
        VoiceError: The file is unreadable, not an .npy file, or too large.
    """
    try:
        contents = read_file(path, VoiceError, max_bytes=MAX_BYTES, remedy=_REMEDY)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise VoiceError(f"{name} is missing; {_REMEDY}") from error
    with _wrap_errors(f"{name} is not readable"):
        if contents.startswith(_ZIP):
            raise VoiceError(f"{name} holds several arrays; expected an .npy file")
        return parse_npy(contents)


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Any:
    if entry.compress_type not in _METHODS or entry.flag_bits & _IS_ENCRYPTED:
        raise ValueError(
            f"{entry.filename} is encrypted, or compressed in a way that is not numpy's"
        )
    return parse_npy(archive.read(entry))


@contextmanager
def _wrap_errors(prefix: str) -> Iterator[None]:
    """Raise whatever numpy and zipfile raise for damaged or harmful bytes as a VoiceError."""
    try:
        yield
    except (BarkError, MemoryError):
        raise
    except Exception as error:
        reason = shortened(joined_lines(error), _MAX_SHOWN)
        raise VoiceError(f"{prefix}: {reason}; {_REMEDY}") from error


def _size(file: BinaryIO) -> int:
    size = file.seek(0, 2)
    file.seek(0)
    return size


def _check_size(size: int, name: str) -> None:
    if size > MAX_BYTES:
        raise VoiceError(
            f"{name}: {size} bytes of arrays, expected at most {MAX_BYTES}; Bark uses only the "
            "last seconds of a voice, cut the rest off"
        )


def _check_signature(file: BinaryIO, name: str) -> None:
    start = file.read(len(NPY_SIGNATURE))
    file.seek(0)
    if start == NPY_SIGNATURE:
        raise VoiceError(f"{name} is a single array; expected an .npz file")
    if not start.startswith(_ZIP):
        check_npy_signature(start)
