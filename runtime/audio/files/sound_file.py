"""Sound files that appear under their name when they are complete, with their tags."""

from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Self

from bark_onnx.graphs.errors import AudioError
from bark_onnx.graphs.files.atomic_write import partial_path, wrap_os_errors
from bark_onnx.runtime.audio.encoders.libsndfile import SampleWriter
from bark_onnx.runtime.audio.encoders.ogg import fix_serial
from bark_onnx.runtime.audio.files.formats import FORMATS, FileFormat, check_format, choose_format
from bark_onnx.runtime.audio.files.paths import check_file_path
from bark_onnx.runtime.audio.resampling import Samples
from bark_onnx.runtime.provenance.provenance import Provenance
from bark_onnx.runtime.provenance.tags import Tags, add_tags, set_tags, to_tags


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
    chosen = choose_format(path, audio_format)
    check_file_path(path)
    check_format(chosen, sample_rate_hz)
    return chosen


class AtomicSoundFile:
    """A sound file that is written under a hidden name, and renamed by `commit`.

    A `with` block that ends without `commit` removes it and keeps an old file.

    Args:
        path: Path of the file, accepted by `check_audio_path`.
        file_format: Format returned by `check_audio_path`.
        sample_rate_hz: Rate of the samples.

    Raises:
        AudioError: The file cannot be written.
    """

    def __init__(self, path: Path, file_format: FileFormat, sample_rate_hz: int) -> None:
        self.written_samples = 0
        self._path = path
        self._partial = partial_path(path)
        self._format = file_format
        self._sample_rate_hz = sample_rate_hz
        self._tags: Tags | None = None
        with self._os_errors():
            try:
                self._writer = SampleWriter(self._partial, file_format, sample_rate_hz)
            except BaseException:
                self._partial.unlink(missing_ok=True)
                raise

    def __enter__(self) -> Self:
        return self

    def set_provenance(self, provenance: Provenance | None) -> None:
        """Set the tags, if any, before the first sample.

        Raises:
            AudioError: The file cannot be written.
        """
        if provenance is None:
            return
        self._tags = to_tags(provenance, self._format.name, self._sample_rate_hz)
        with self._os_errors():
            set_tags(self._writer.file, self._format.name, self._tags)

    def write(self, samples: Samples) -> None:
        """Append samples, float32 (n,).

        Raises:
            AudioError: The file cannot be written.
        """
        with self._os_errors():
            self._writer.write(samples)
        self.written_samples += len(samples)

    def commit(self) -> None:
        """Close the file and give it its name.

        Raises:
            AudioError: The file cannot be written, or is empty in a format that cannot be.
        """
        if not self.written_samples and not self._format.can_be_empty:
            *others, last = (each.name for each in FORMATS.values() if each.can_be_empty)
            raise AudioError(
                f"{self._path}: no audio was generated; an empty file is only possible as "
                f"{', '.join(others)} or {last}"
            )
        with self._os_errors():
            self._writer.finish()
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
        with self._os_errors():
            try:
                self._writer.close()
            finally:
                self._partial.unlink(missing_ok=True)

    def _os_errors(self) -> AbstractContextManager[None]:
        import soundfile

        errors = (OSError, soundfile.SoundFileError)
        return wrap_os_errors(AudioError, f"{self._path}: cannot be written", errors=errors)
