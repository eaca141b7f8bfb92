"""A sound file that grows piece by piece."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from bark_onnx.graphs.errors import AudioError
from bark_onnx.runtime.audio.formats import check_format, choose_format
from bark_onnx.runtime.audio.ogg import fix_serial
from bark_onnx.runtime.audio.resampling import Samples
from bark_onnx.runtime.audio.speech import Speech, check_audio_path, nothing_said
from bark_onnx.runtime.audio.tags import Tags, add_tags, set_tags
from bark_onnx.runtime.audio.track import Track


class SpeechWriter:
    """A sound file to which speeches are added, in a `with` block.

    The file appears when the block ends, whole or not: what was added before an error or an
    interrupt is kept and can be played. Where nothing was added, an old file stays as it was.

    Args:
        path: its suffix names the format: wav, flac, ogg, mp3 or opus.
        sample_rate_hz: of the file; speeches of another rate are converted, without seams.
        audio_format: "raw" for samples without a header (signed 16 bits, little-endian), or one of
            those above for a file with another suffix; None goes by the suffix.
        metadata: the file tells how it was made: the `recipe` of the first speech, which those of
            one `Bark.stream` share.

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
        check_audio_path(self.path, audio_format)
        self._format = choose_format(self.path, audio_format)
        check_format(self._format, sample_rate_hz)
        self.sample_rate_hz = sample_rate_hz
        self._track = Track(sample_rate_hz)
        self._partial = self.path.with_name(f".{self.path.name}.partial")
        self._written_samples = 0
        self._file: Any = None
        self._metadata = metadata
        self._has_begun = False
        self._tags: Tags | None = None

    @property
    def seconds(self) -> float:
        """What was added so far."""
        return self._track.seconds

    def __enter__(self) -> "SpeechWriter":
        import soundfile

        with self._errors():
            self._file = soundfile.SoundFile(
                self._partial,
                "w",
                self.sample_rate_hz,
                channels=1,
                subtype=self._format.encoding,
                endian=self._format.byte_order,
                format=self._format.container,
            )
        return self

    def write(self, speech: Speech) -> None:
        """Add a speech, after silence up to where it begins.

        Raises:
            AudioError: the file cannot be written, or the speech has another sample rate than the
                one before.
        """
        if not self._has_begun:
            self._begin(speech)
        self._append(self._track.add(speech))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            with self._errors():
                self._close()
                if self._written_samples or (kind is None and self._format.can_be_empty):
                    add_tags(self._partial, self._format.name, self._tags)
                    if self._format.container == "OGG":
                        fix_serial(self._partial)
                    self._partial.replace(self.path)
                elif kind is None:
                    raise nothing_said(self.path)
        finally:
            self._partial.unlink(missing_ok=True)

    def _close(self) -> None:
        try:
            if len(rest := self._track.finish()):
                self._append(rest)
        finally:
            self._file.close()

    def _begin(self, speech: Speech) -> None:
        self._has_begun = True
        if self._metadata and speech.recipe is not None:
            whole = dataclasses.replace(speech.recipe, piece=None)
            self._tags = whole.to_tags(self._format.name, self.sample_rate_hz)
            set_tags(self._file, self._format.name, self._tags)

    def _append(self, samples: Samples) -> None:
        with self._errors():
            self._file.write(samples)
        self._written_samples += len(samples)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        import soundfile

        try:
            yield
        except (OSError, soundfile.SoundFileError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise AudioError(f"{self.path}: cannot be written ({reason})") from error
