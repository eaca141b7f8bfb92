"""Sound files that appear under their name when they are complete, with their tags."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from bark_onnx.graphs.errors import AudioError, first_line
from bark_onnx.graphs.files.atomic_write import wrap_os_errors
from bark_onnx.graphs.files.partial_file import PartialFile
from bark_onnx.runtime.audio.encoders.flac import set_length
from bark_onnx.runtime.audio.encoders.libsndfile import SampleWriter, count_samples
from bark_onnx.runtime.audio.encoders.ogg import fix_serial
from bark_onnx.runtime.audio.files.formats import FORMATS, FileFormat
from bark_onnx.runtime.audio.resampling import Samples
from bark_onnx.runtime.provenance.provenance import Provenance
from bark_onnx.runtime.provenance.tags import Tags, add_tags, set_tags, to_tags

_PROBE_BLOCKS, _PROBE_BYTES = 16, 1 << 16  # more than a file system can hold back


class AtomicSoundFile:
    """A `SoundFile` that is written under a temporary name, and renamed by `commit`.

    Without `commit` an old file is kept.
    """

    def __init__(self, path: Path, file_format: FileFormat, sample_rate_hz: int) -> None:
        self.written_samples = 0
        self.failure: AudioError | None = None
        self._path = path
        self._format = file_format
        self._sample_rate_hz = sample_rate_hz
        self._tags: Tags | None = None
        with wrap_os_errors(AudioError, f"{path}: cannot be written"):
            self._partial = PartialFile(path)
        try:
            with self._os_errors():
                self._writer = SampleWriter(self._handle(), file_format, sample_rate_hz)
        except BaseException:
            self._partial.close()
            raise

    def __enter__(self) -> Self:
        return self

    def set_provenance(self, provenance: Provenance | None) -> None:
        """See `SoundFile`."""
        if provenance is None:
            return
        self._tags = to_tags(provenance, self._format.name, self._sample_rate_hz)
        with self._os_errors():
            set_tags(self._writer.file, self._format.name, self._tags)

    def write(self, samples: Samples) -> None:
        """See `SoundFile`."""
        try:
            with self._os_errors():
                self._writer.write(samples)
        except AudioError as error:
            self.failure = error
            raise
        self.written_samples += len(samples)

    def commit(self) -> None:
        """See `SoundFile`. What cannot be completed is cut off."""
        if self.failure is None and not self.written_samples and not self._format.can_be_empty:
            *others, last = (each.name for each in FORMATS.values() if each.can_be_empty)
            raise AudioError(
                f"{self._path}: no audio was generated; an empty file is only possible as "
                f"{', '.join(others)} or {last}"
            )
        try:
            with self._os_errors():
                self._writer.finish()
                self._add_tags()
        except AudioError as error:
            self.failure = self.failure or error
        with self._os_errors():
            self._writer.close()
            if self._format.container == "OGG":
                with self._open() as file:
                    fix_serial(file)
            if self.failure is not None:
                self._end_early(self.failure)
            self._partial.commit()

    def __exit__(self, *_: object) -> None:
        try:
            with self._os_errors():
                self._writer.close()
        finally:
            self._partial.close()

    def _handle(self) -> int | str:
        """What libsndfile opens: not the path, whose file another user might replace."""
        return str(self._partial.path) if sys.platform == "win32" else os.dup(self._partial.fd)

    def _open(self) -> io.FileIO:
        return io.FileIO(self._partial.fd, "r+", closefd=False)

    def _add_tags(self) -> None:
        with self._open() as file:
            add_tags(file, self._format.name, self._tags)

    def _end_early(self, failure: AudioError) -> None:
        """Count the samples of a file that is cut off."""
        with self._open() as file:
            self.written_samples = count_samples(file, self._format, self._sample_rate_hz)
            if not self.written_samples:
                raise failure
            if self._format.container == "FLAC":
                set_length(file, self.written_samples)

    @contextmanager
    def _os_errors(self) -> Iterator[None]:
        import soundfile

        with wrap_os_errors(AudioError, f"{self._path}: cannot be written"):
            try:
                yield
            except (soundfile.SoundFileError, AssertionError) as error:
                # An AssertionError is soundfile's for a block that was written in part.
                raise self._system_error() or OSError(first_line(error)) from error

    def _system_error(self) -> OSError | None:
        """What the system answers to a write: libsndfile reports errors without their reason."""
        fd = self._partial.fd
        position, size = os.lseek(fd, 0, os.SEEK_CUR), os.lseek(fd, 0, os.SEEK_END)
        try:
            for _ in range(_PROBE_BLOCKS):
                os.write(fd, bytes(_PROBE_BYTES))
        except OSError as error:
            return error
        finally:
            os.ftruncate(fd, size)
            os.lseek(fd, position, os.SEEK_SET)
        return None
