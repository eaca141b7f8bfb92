"""What a sound is written to: a new file, or a device, pipe or socket."""

import io
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, Self

from bark_onnx.graphs.errors import AudioError
from bark_onnx.graphs.files.atomic_write import wrap_os_errors, write_all
from bark_onnx.graphs.files.partial_file import is_special
from bark_onnx.runtime.audio.encoders.encoder import open_encoder
from bark_onnx.runtime.audio.files.atomic_sound_file import AtomicSoundFile
from bark_onnx.runtime.audio.files.formats import FileFormat, check_format, choose_format
from bark_onnx.runtime.audio.files.paths import check_file_path
from bark_onnx.runtime.audio.resampling import Samples
from bark_onnx.runtime.provenance.provenance import Provenance


def check_audio_path(
    path: Path, audio_format: str | None = None, sample_rate_hz: int | None = None
) -> FileFormat:
    """Check, before any work is done, that a sound file can be written; returns its format.

    Args:
        path: Path of the sound file.
        audio_format: Name of its format; None takes that of the suffix.
        sample_rate_hz: Sample rate; None is not checked.

    Raises:
        AudioError: The suffix is unknown or of another format, the folder is missing or
            write-protected, or the format does not support the rate.
    """
    check_file_path(path)
    chosen = choose_format(path, audio_format)
    check_format(chosen, sample_rate_hz)
    return chosen


class SoundFile(Protocol):
    """A sound file that is written; its `with` block ends with `commit`, or without a file.

    Attributes:
        written_samples: Samples so far.
        failure: Error that cuts the file off: `commit` keeps what was written before.
    """

    written_samples: int
    failure: AudioError | None

    def __enter__(self) -> Self:
        """Begin the block."""

    def set_provenance(self, provenance: Provenance | None) -> None:
        """Set the tags, if any, before the first sample.

        Raises:
            AudioError: The file cannot be written.
        """

    def write(self, samples: Samples) -> None:
        """Append samples, float32 (n,).

        Raises:
            AudioError: The file cannot be written.
        """

    def commit(self) -> None:
        """Complete the file.

        Raises:
            AudioError: The file cannot be written, or is empty in a format that cannot be.
        """

    def __exit__(self, *_: object) -> None:
        """Release the file; remove it without `commit`."""


def open_sound_file(path: Path, file_format: FileFormat, sample_rate_hz: int) -> SoundFile:
    """Open a sound file: a new one, or a device, pipe or socket that exists.

    Args:
        path: Path of the file, accepted by `check_audio_path`.
        file_format: Format returned by `check_audio_path`.
        sample_rate_hz: Rate of the samples.

    Raises:
        AudioError: The file cannot be written.
    """
    with wrap_os_errors(AudioError, f"{path}: cannot be written"):
        kind = DirectSoundFile if is_special(path) else AtomicSoundFile
    return kind(path, file_format, sample_rate_hz)


class DirectSoundFile:
    """A device, pipe or socket, as a `SoundFile`: it receives each write at once, and no tags."""

    def __init__(self, path: Path, file_format: FileFormat, sample_rate_hz: int) -> None:
        self.written_samples = 0
        self.failure: AudioError | None = None
        self._path = path
        self._encoder = open_encoder(file_format, sample_rate_hz, streamed=True)
        with self._os_errors():
            self._file = io.FileIO(path, "w")  # waits for the reader of a pipe

    def __enter__(self) -> Self:
        return self

    def set_provenance(self, provenance: Provenance | None) -> None:
        """See `SoundFile`. A stream has no tags."""

    def write(self, samples: Samples) -> None:
        """See `SoundFile`."""
        with self._os_errors():
            write_all(self._file, self._encoder.add(samples))
        self.written_samples += len(samples)

    def commit(self) -> None:
        """See `SoundFile`."""
        with self._os_errors():
            write_all(self._file, self._encoder.finish())

    def __exit__(self, *_: object) -> None:
        self._encoder.close()
        with self._os_errors():
            self._file.close()

    def _os_errors(self) -> AbstractContextManager[None]:
        return wrap_os_errors(AudioError, f"{self._path}: cannot be written")
