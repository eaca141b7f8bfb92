"""A sound file that grows piece by piece."""

import dataclasses
from pathlib import Path
from types import TracebackType

from bark_onnx.runtime.audio.files.sound_file import AtomicSoundFile, check_audio_path
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.audio.timeline import SpeechTimeline


class SpeechWriter:
    """A sound file to which speeches are added, in a `with` block.

    The file appears when the block ends, whole or not: what was added before an error or an
    interrupt is kept and can be played. Where nothing was added, an old file stays as it was.

    Args:
        path: its suffix names the format: wav, flac, ogg, mp3 or opus.
        sample_rate_hz: of the file; speeches of another rate are converted, without seams.
        audio_format: "raw" for samples without a header (signed 16 bits, little-endian), or one of
            those above for a file with another suffix; None goes by the suffix.
        metadata: whether the file stores the `provenance` of the first speech, which those of one
            `Bark.stream` share.

    Raises:
        AudioError: the suffix is unknown or of another format, the format does not know the
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
        self.path = Path(path)
        self.sample_rate_hz = sample_rate_hz
        self._format = check_audio_path(self.path, audio_format, sample_rate_hz)
        self._metadata = metadata
        self._track = SpeechTimeline(sample_rate_hz)
        self._file: AtomicSoundFile
        self._has_begun = False

    @property
    def seconds(self) -> float:
        """What was added so far."""
        return self._track.seconds

    def __enter__(self) -> "SpeechWriter":
        self._file = AtomicSoundFile(self.path, self._format, self.sample_rate_hz)
        return self

    def write(self, speech: Speech) -> None:
        """Add a speech, after silence up to where it begins.

        Raises:
            AudioError: the file cannot be written, or the speech has another sample rate than the
                one before.
        """
        if not self._has_begun:
            self._begin(speech)
        self._file.write(self._track.add(speech))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._file as file:
            if len(rest := self._track.finish()):
                file.write(rest)
            if kind is None or file.written_samples:
                file.commit()

    def _begin(self, speech: Speech) -> None:
        self._has_begun = True
        if self._metadata and speech.provenance is not None:
            whole = dataclasses.replace(speech.provenance, segment=None)
            self._file.set_tags(whole.to_tags(self._format.name, self.sample_rate_hz))
