"""A sound file on its way to its name: format, tags, and no half of it where people look."""

from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Self

from bark_onnx.graphs.bundle.atomic_write import partial_path, wrap_os_errors
from bark_onnx.graphs.errors import AudioError
from bark_onnx.runtime.audio.encoders.ogg import fix_serial
from bark_onnx.runtime.audio.files.formats import (
    FileFormat,
    check_format,
    choose_format,
    open_for_writing,
)
from bark_onnx.runtime.audio.files.paths import check_file_path
from bark_onnx.runtime.audio.resampling import Samples
from bark_onnx.runtime.provenance.tags import Tags, add_tags, set_tags


def check_audio_path(
    path: Path, audio_format: str | None = None, sample_rate_hz: int | None = None
) -> FileFormat:
    """The format of a new sound file; checks, before any work is done, that it can be written.

    Args:
        path: of the sound file.
        audio_format: its format; None takes the one that the suffix names.
        sample_rate_hz: its rate; None leaves that unchecked.

    Raises:
        AudioError: the suffix is unknown or of another format, the folder does not exist or takes
            no files, or the format does not know the rate.
    """
    chosen = choose_format(path, audio_format)
    check_file_path(path)
    check_format(chosen, sample_rate_hz)
    return chosen


class AtomicSoundFile:
    """A sound file that is open for writing under a hidden name, and gets its own from `commit`.

    What was not kept when a `with` block ends is gone, and an old file stays as it was.

    Args:
        path: of the file, as `check_audio_path` allows it.
        audio_format: what `check_audio_path` returned.
        sample_rate_hz: of the samples.

    Raises:
        AudioError: the file cannot be written.
    """

    def __init__(self, path: Path, audio_format: FileFormat, sample_rate_hz: int) -> None:
        self.written_samples = 0
        self._path = path
        self._partial = partial_path(path)
        self._format = audio_format
        self._tags: Tags | None = None
        with self._unwritable():
            try:
                self._file = open_for_writing(self._partial, audio_format, sample_rate_hz)
            except BaseException:
                self._partial.unlink(missing_ok=True)
                raise

    def __enter__(self) -> Self:
        return self

    def set_tags(self, tags: Tags) -> None:
        """What the file will say of itself; before the first sample.

        Raises:
            AudioError: the file cannot be written.
        """
        self._tags = tags
        with self._unwritable():
            set_tags(self._file, self._format.name, tags)

    def write(self, samples: Samples) -> None:
        """Add samples, float32 (n,).

        Raises:
            AudioError: the file cannot be written.
        """
        with self._unwritable():
            self._file.write(samples)
        self.written_samples += len(samples)

    def commit(self) -> None:
        """Close the file and give it its name. Nothing can be added after this.

        Raises:
            AudioError: the file cannot be written, or has no samples where its format needs some.
        """
        if not self.written_samples and not self._format.can_be_empty:
            raise AudioError(
                f"{self._path}: nothing was said, which only wav, ogg and raw can hold"
            )
        with self._unwritable():
            self._file.close()
            add_tags(self._partial, self._format.name, self._tags)
            if self._format.container == "OGG":
                fix_serial(self._partial)
            self._partial.replace(self._path)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._unwritable():
            try:
                self._file.close()
            finally:
                self._partial.unlink(missing_ok=True)

    def _unwritable(self) -> AbstractContextManager[None]:
        import soundfile

        errors = (OSError, soundfile.SoundFileError)
        return wrap_os_errors(AudioError, f"{self._path}: cannot be written", errors=errors)
