"""A sound file that grows piece by piece."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.errors import AudioError
from bark_onnx.runtime.audio.ogg import fix_serial
from bark_onnx.runtime.audio.speech import FORMATS, NEVER_EMPTY, Speech, check_audio_path
from bark_onnx.runtime.audio.tags import Tags, add_tags, set_tags


class SpeechWriter:
    """A sound file to which speeches are added, in a `with` block.

    The file appears when the block ends, whole or not: what was added before an error or an
    interrupt is kept and can be played. Where nothing was added, an old file stays as it was.

    Args:
        path: its suffix names the format: wav, flac, ogg or mp3.
        sample_rate_hz: of all speeches.
        metadata: the file tells how it was made: the `recipe` of the first speech, which those of
            one `Bark.stream` share.

    Raises:
        AudioError: the suffix is unknown or the file cannot be written.
    """

    def __init__(self, path: str | Path, sample_rate_hz: int, *, metadata: bool = True) -> None:
        self.path = Path(path)
        check_audio_path(self.path)
        self.sample_rate_hz = sample_rate_hz
        self._partial = self.path.with_name(f".{self.path.name}.partial")
        self._written_samples = 0
        self._file: Any = None
        self._metadata = metadata
        self._tags: Tags | None = None

    @property
    def seconds(self) -> float:
        """What was added so far."""
        return self._written_samples / self.sample_rate_hz

    def __enter__(self) -> "SpeechWriter":
        import soundfile

        format_ = FORMATS[self.path.suffix.lower()]
        with self._errors():
            self._file = soundfile.SoundFile(
                self._partial, "w", self.sample_rate_hz, channels=1, format=format_
            )
        return self

    def write(self, speech: Speech) -> None:
        """Add a speech, after silence up to where it begins.

        Raises:
            AudioError: the file cannot be written.
        """
        if self._metadata and not self._tags and not self._written_samples and speech.recipe:
            whole = dataclasses.replace(speech.recipe, piece=None)
            self._tags = whole.to_tags(self.path.suffix.lower())
            set_tags(self._file, self.path.suffix.lower(), self._tags)
        start = round(speech.start_seconds * self.sample_rate_hz)
        self._append(np.zeros(max(0, start - self._written_samples), np.float32))
        self._append(speech.samples)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        suffix = self.path.suffix.lower()
        try:
            with self._errors():
                self._file.close()
                if self._written_samples or (kind is None and suffix not in NEVER_EMPTY):
                    if self._tags:
                        add_tags(self._partial, suffix, self._tags)
                    if suffix == ".ogg":
                        fix_serial(self._partial)
                    self._partial.replace(self.path)
                elif kind is None:
                    raise AudioError(
                        f"{self.path}: nothing was said, which only .wav and .ogg can hold"
                    )
        finally:
            self._partial.unlink(missing_ok=True)

    def _append(self, samples: NDArray[np.float32]) -> None:
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
