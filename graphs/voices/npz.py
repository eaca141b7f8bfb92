"""The arrays in a voice's files, read without trust: no pickles, nothing huge, one clear line.

Knows nothing of what the arrays mean.
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

# Three quarters of an hour of tokens as int64: joined voices may be long, though Bark hears only
# the last seconds.
MOST_BYTES = 16 << 20

_BEGINNINGS = (b"PK", b"\x93NUMPY")  # of .npz and .npy files
_PICKLE = b"\x80"

# What numpy and zipfile raise for a file that is damaged or something else.
_UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    TypeError,
    MemoryError,
    RuntimeError,  # NotImplementedError with it
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class VoiceFile:
    """An .npz file. Knows nothing of what a voice is."""

    path: Path
    contents: bytes = field(repr=False)

    @classmethod
    def read(cls, path: str | Path) -> "VoiceFile":
        """Read a file once.

        Raises:
            VoiceError: it is not there, cannot be read, or is huge.
        """
        path = Path(path)
        try:
            with path.open("rb") as file:
                return cls(path, read_contents(file, name=str(path)))
        except FileNotFoundError as error:
            raise VoiceError(f"{path}: no such file; expected a voice as .npz") from error
        except (OSError, ValueError) as error:
            raise VoiceError(f"{path}: not a voice: {error}") from error

    @property
    def sha256(self) -> str:
        """Checksum of the contents, hexadecimal."""
        return hashlib.sha256(self.contents).hexdigest()

    def arrays(self, keys: Iterable[str]) -> dict[str, Any]:
        """Those of the arrays `keys` that the file has.

        Raises:
            VoiceError: it is no .npz file, or unpacks to something huge.
        """
        return read_npz(io.BytesIO(self.contents), keys, name=str(self.path))


def read_contents(file: BinaryIO, *, name: str) -> bytes:
    """All of an open file, once it is sure that it is no larger than a voice can be.

    Raises:
        VoiceError: it cannot be read, or is huge.
    """
    with _unreadable_is_an_error(f"{name}: not a voice"):
        _check_size(_bytes(file), name)
        return file.read(MOST_BYTES)


def read_npz(file: BinaryIO, keys: Iterable[str], *, name: str) -> dict[str, Any]:
    """Those of the arrays `keys` that an open .npz file has.

    Raises:
        VoiceError: it cannot be read, is no .npz file, or is huge.
    """
    with _unreadable_is_an_error(f"{name}: not a voice"):
        _check_size(_unpacked_bytes(file), name)
        _check_beginning(file)
        found = np.load(file, allow_pickle=False)
        if not isinstance(found, np.lib.npyio.NpzFile):
            raise VoiceError(f"{name} is a single array; expected an .npz file")
        return {key: found[key] for key in keys if key in found.files}


def read_npy(path: Path, *, name: str) -> Any:
    """The array in an .npy file.

    Raises:
        VoiceError: it cannot be read, is no .npy file, or is huge.
    """
    with _unreadable_is_an_error(f"{name} is not readable"), path.open("rb") as file:
        _check_size(_bytes(file), name)
        _check_beginning(file)
        found = np.load(file, allow_pickle=False)
        if not isinstance(found, np.ndarray):
            raise VoiceError(f"{name} holds several arrays; expected an .npy file")
        return found


@contextmanager
def _unreadable_is_an_error(prefix: str) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise VoiceError(f"{prefix}: {_plain(reason)}") from error


def _unpacked_bytes(file: BinaryIO) -> int:
    """What an archive unpacks to, or the size of what is none."""
    size = _bytes(file)
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            size = max(size, sum(entry.file_size for entry in archive.infolist()))
    file.seek(0)
    return size


def _bytes(file: BinaryIO) -> int:
    size = file.seek(0, 2)
    file.seek(0)
    return size


def _check_size(size: int, name: str) -> None:
    if size > MOST_BYTES:
        raise VoiceError(
            f"{name}: {size} bytes of arrays, expected at most {MOST_BYTES}; Bark hears only the "
            "last seconds of a voice, cut the rest off"
        )


def _check_beginning(file: BinaryIO) -> None:
    """Check that a file is one of numpy's, which takes everything else for a pickle."""
    beginning = file.read(max(map(len, _BEGINNINGS)))
    file.seek(0)
    if beginning and not beginning.startswith((*_BEGINNINGS, _PICKLE)):
        raise ValueError("it is neither an .npz nor an .npy file")


def _plain(reason: str) -> str:
    if "pickle" in reason.lower():
        return "it holds pickled objects, which can run code; expected plain integer arrays"
    return reason
