"""Sound files to which speech is appended as it is generated."""

import dataclasses
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from bark_onnx.graphs.errors import AudioError
from bark_onnx.runtime.audio.files.formats import check_rate
from bark_onnx.runtime.audio.files.sound_file import SoundFile, check_audio_path, open_sound_file
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.audio.timeline import SpeechTimeline


class SpeechWriter:
    """A sound file to which speeches are appended, in a `with` block.

    The file appears when the block ends, complete or not: speech appended before an error or an
    interrupt is kept and can be played, and on a full disk what fits of it. If nothing was
    appended, or not even the first speech fits, an old file is kept. A device or a pipe receives
    each speech at once, without metadata.

    Attributes:
        path: Path of the file.
        sample_rate_hz: Sample rate of the file.
        is_written: Whether the file has appeared.
        has_replaced: Whether it then took the place of another.

    Args:
        path: Path of the file; its suffix is wav, flac, ogg, mp3 or opus.
        sample_rate_hz: Sample rate of the file, to which speeches are converted without seams.
        audio_format: One of those formats for a file with another suffix, or "raw" for samples
            without a header (signed 16 bits, little-endian); None takes that of the suffix.
        metadata: Whether the file stores the `provenance` of the first speech, which all speeches
            of one `Bark.stream` share.

    Raises:
        AudioError: The suffix is unknown or of another format, the format does not support the
            rate, or the file cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        sample_rate_hz: int,
        *,
        audio_format: str | None = None,
        metadata: bool = True,
    ) -> None:
        check_rate(sample_rate_hz)
        self.path = Path(path)
        self.sample_rate_hz = sample_rate_hz
        self._format = check_audio_path(self.path, audio_format, sample_rate_hz)
        self._metadata = metadata
        self._timeline = SpeechTimeline(sample_rate_hz)
        self._file: SoundFile | None = None  # outside of the block
        self._has_begun = False
        self.is_written = False
        self.has_replaced = False

    @property
    def seconds(self) -> float:
        """Length so far."""
        return self._timeline.seconds

    def __enter__(self) -> "SpeechWriter":
        self._file = open_sound_file(self.path, self._format, self.sample_rate_hz)
        return self

    def write(self, speech: Speech) -> None:
        """Append a speech, after silence up to its start.

        Raises:
            AudioError: The file cannot be written or is not open, or the sample rate differs from
                that of the previous speech.
        """
        if self._file is None:
            raise AudioError(f"{self.path} is not open; write to it in a with block")
        if not self._has_begun:
            self._begin(self._file, speech)
        self._file.write(self._timeline.add(speech))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._file is not None
        with self._file as file:
            if file.failure is None and len(rest := self._timeline.finish()):
                with suppress(AudioError):  # it is raised below
                    file.write(rest)
            is_old = self.path.is_file()
            is_first_cut = file.failure is not None and not is_old
            if (file.failure is None and kind is None) or file.written_samples or is_first_cut:
                file.commit()
                self.is_written, self.has_replaced = True, is_old
        if file.failure is not None and (kind is None or error is file.failure):
            kept = file.written_samples / self.sample_rate_hz
            has = f"; it has the first {kept:.2f} s" if self.is_written else ""
            raise AudioError(f"{file.failure}{has}") from file.failure

    def _begin(self, file: SoundFile, speech: Speech) -> None:
        self._has_begun = True
        if self._metadata and speech.provenance is not None:
            file.set_provenance(dataclasses.replace(speech.provenance, segment=None))
