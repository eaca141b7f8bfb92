"""Folder of uploaded voices: bounded names, number and bytes. For several threads."""

import io
import re
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from bark_onnx.graphs.errors import VoiceError
from bark_onnx.graphs.files.atomic_write import wrap_os_errors
from bark_onnx.graphs.voices.voice import Voice
from bark_onnx.runtime.server.aliases import OPENAI_VOICES
from bark_onnx.runtime.server.errors import ApiError, own_failure, quoted
from bark_onnx.runtime.server.logs import log
from bark_onnx.runtime.server.settings import MAX_UPLOADS
from bark_onnx.runtime.voices.aliases import parse_alias, parse_preset_name

UPLOAD_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"

# Windows opens a device of this name, whatever the folder and the extension.
_DEVICES = {"con", "prn", "aux", "nul", *(f"{p}{n}" for p in ("com", "lpt") for n in range(10))}
_ARCHIVE_BYTES = 2048  # of an .npz file beside its arrays, at most


class UploadFolder:
    """Voices in one folder, by name. Links, and files with a name that no upload gets, are ignored.

    Args:
        folder: Folder, created if missing.
        max_file_bytes: Maximum size of a stored voice.
        max_bytes: Maximum size of all stored voices.

    Raises:
        VoiceError: The folder cannot be created.
    """

    def __init__(self, folder: Path, *, max_file_bytes: int, max_bytes: int) -> None:
        self._folder = folder
        self._max_file_bytes = max_file_bytes
        self._max_bytes = max_bytes
        self._lock = threading.Lock()  # from the look at the folder to the new file
        with wrap_os_errors(VoiceError, f"{folder}: cannot be created"):
            folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.glob("*.npz")):
            if not is_upload_name(path.stem):
                fields = {"file": path.name, "expected": "a name that clients can upload"}
                log.warning("voice ignored", extra={"fields": fields})

    def names(self) -> list[str]:
        """Names of the stored voices."""
        return sorted(path.stem for path in self._files())

    def read(self, name: str) -> Voice | None:
        """A stored voice; None if it is unknown.

        Raises:
            VoiceError: The file is damaged.
            ApiError: The file cannot be read.
        """
        if name not in self.names():
            return None
        try:
            with _own_errors(), self._path(name).open("rb") as file:
                return Voice.read(file, name=name)
        except FileNotFoundError:  # deleted in the meantime
            return None

    def add(
        self,
        name: str,
        data: bytes,
        *,
        check: Callable[[Voice], object],
        taken: Callable[[], Collection[str]],
    ) -> None:
        """Store the arrays of an .npz file under a new name.

        Args:
            name: Name of the voice.
            data: Contents of the file.
            check: Function that raises VoiceError for a voice of another checkpoint.
            taken: Function that returns the names of all other voices.

        Raises:
            ApiError: The name is invalid or taken, or a limit is exceeded.
            VoiceError: The data are malformed, or a voice of another checkpoint.
        """
        _check_name(name, taken())
        voice = Voice.read(io.BytesIO(data), name=name)
        check(voice)
        size = stored_bytes(voice)
        if size > self._max_file_bytes:
            raise ApiError(
                400,
                f"The voice takes {size} bytes; expected at most {self._max_file_bytes} "
                "(--max-body-bytes). Bark uses only its last seconds, cut the rest off",
                param="file",
            )
        with self._lock:
            _check_name(name, taken())
            self._check_room(size)
            with _own_errors():
                voice.save(self._path(name))

    def remove(self, name: str) -> bool:
        """Delete a stored voice; False if it is unknown.

        Raises:
            ApiError: The file cannot be deleted.
        """
        if name not in self.names():
            return False
        with _own_errors():
            self._path(name).unlink(missing_ok=True)
        return True

    def _check_room(self, size: int) -> None:
        sizes = [path.stat().st_size for path in self._files()]
        if len(sizes) >= MAX_UPLOADS:
            raise ApiError(409, f"Found {MAX_UPLOADS} uploaded voices, the limit; delete one first")
        if sum(sizes) + size > self._max_bytes:
            raise ApiError(
                409,
                f"The uploaded voices take {sum(sizes)} bytes and this one {size}; expected at "
                f"most {self._max_bytes} in all (--max-uploads-bytes); delete one first",
            )

    def _files(self) -> list[Path]:
        return [
            path
            for path in self._folder.glob("*.npz")
            if is_upload_name(path.stem) and path.is_file() and not path.is_symlink()
        ]

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.npz"


def is_upload_name(name: str) -> bool:
    """Whether a client can upload a voice of this name."""
    return re.fullmatch(UPLOAD_NAME, name) is not None and not is_reserved(name)


def is_reserved(name: str) -> bool:
    """Whether a name belongs to no upload: OpenAI's, a language's, a preset's, or a device's."""
    folded = name.lower()
    is_voice = folded in OPENAI_VOICES or parse_preset_name(folded) is not None
    return is_voice or parse_alias(name) is not None or folded in _DEVICES


def stored_bytes(voice: Voice) -> int:
    """Maximum size of a voice's file."""
    tokens = (voice.semantic_prompt, voice.coarse_prompt, voice.fine_prompt)
    provenance = voice.provenance.to_array().nbytes if voice.provenance is not None else 0
    return _ARCHIVE_BYTES + provenance + sum(array.nbytes for array in tokens)


def _check_name(name: str, taken: Collection[str]) -> None:
    if re.fullmatch(UPLOAD_NAME, name) is None:
        message = f"name is {quoted(name)}; expected letters, digits, _ and -, at most 64"
        raise ApiError(400, message, param="name")
    if name.lower() in {known.lower() for known in taken}:
        raise ApiError(
            409, f"Voice {quoted(name)} exists; delete it or choose another name", param="name"
        )
    if is_reserved(name):
        raise ApiError(
            400,
            f"name is {quoted(name)}, which is reserved; expected no name of OpenAI's, Suno's, "
            "a language or a device",
            param="name",
        )


@contextmanager
def _own_errors() -> Iterator[None]:
    """Errors of the system are the server's own: the response names no path, the log the cause."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, VoiceError) as error:
        cause = error.__cause__ if isinstance(error, VoiceError) else error
        if not isinstance(cause, OSError):
            raise
        raise own_failure(error) from error
