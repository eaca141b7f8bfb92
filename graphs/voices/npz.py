"""Arrays from untrusted .npz and .npy files: no pickles, limited sizes, one-line errors.

Knows nothing of the meaning of the arrays.
"""

import hashlib
import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bark_onnx.graphs.errors import VoiceError

# Three quarters of an hour of tokens as int64: joined voices may be long, though Bark uses only
# the last seconds.
MAX_BYTES = 16 << 20

_SIGNATURES = (b"PK", b"\x93NUMPY")  # of .npz and .npy files
_PICKLE = b"\x80"

# Errors of numpy and zipfile for a file that is damaged or something else.
_READ_ERRORS = (
    OSError,
    ValueError,
    EOFError,
    TypeError,
    MemoryError,
    RuntimeError,  # also NotImplementedError
    zipfile.BadZipFile,
    zlib.error,
)


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
        with _wrap_read_errors(f"{path}: not a voice"):
            if not path.exists():
                raise VoiceError(f"{path}: no such file; expected a voice as .npz")
            with path.open("rb") as file:
                _check_size(_size(file), str(path))
                return cls(path, file.read(MAX_BYTES))

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
    with _wrap_read_errors(f"{name}: not a voice"):
        _check_size(_unpacked_size(file), name)
        _check_signature(file)
        found = np.load(file, allow_pickle=False)
        if not isinstance(found, np.lib.npyio.NpzFile):
            raise VoiceError(f"{name} is a single array; expected an .npz file")
        return {key: found[key] for key in keys if key in found.files}


def read_npy(path: Path, *, name: str) -> Any:
    """The array of an .npy file.

    Raises:
        VoiceError: The file is unreadable, not an .npy file, or too large.
    """
    with _wrap_read_errors(f"{name} is not readable"), path.open("rb") as file:
        _check_size(_size(file), name)
        _check_signature(file)
        found = np.load(file, allow_pickle=False)
        if not isinstance(found, np.ndarray):
            raise VoiceError(f"{name} holds several arrays; expected an .npy file")
        return found


@contextmanager
def _wrap_read_errors(prefix: str) -> Iterator[None]:
    try:
        yield
    except _READ_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise VoiceError(f"{prefix}: {_explain(reason)}") from error


def _unpacked_size(file: BinaryIO) -> int:
    """Size of an archive when unpacked, or of another file as it is."""
    size = _size(file)
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            size = max(size, sum(entry.file_size for entry in archive.infolist()))
    file.seek(0)
    return size


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


def _check_signature(file: BinaryIO) -> None:
    """Check that a file is one of numpy's: `np.load` reads any other as a pickle."""
    start = file.read(max(map(len, _SIGNATURES)))
    file.seek(0)
    if start and not start.startswith((*_SIGNATURES, _PICKLE)):
        raise ValueError("it is neither an .npz nor an .npy file")


def _explain(reason: str) -> str:
    if "pickle" in reason.lower():
        return "it holds pickled objects, which can run code; expected plain integer arrays"
    return reason
