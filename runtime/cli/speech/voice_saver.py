"""bark-onnx speak --save-voice: keep what was said as a voice."""

from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Self

import click

from bark_onnx.graphs.errors import OptionsError, VoiceError
from bark_onnx.runtime.audio.files.paths import check_file_path
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.voices.inspection import HistoryLimits

_SUFFIX = ".npz"


class VoiceSaver:
    """Listens to speeches, and at the end of a `with` block writes one of them as a voice.

    A voice is at most one piece of a long text: the first that is as long as what Bark hears of a
    voice (6.8 s), since more adds nothing and the first is what a listener knows; or else the
    longest. After an error or an interrupt it is kept, too, as the sound is.

    Args:
        path: of the .npz file; None keeps nothing.
        has_cast: there are several speakers.
        has_lines: there are several texts.

    Raises:
        OptionsError: nobody can tell whose voice is meant.
        VoiceError: the suffix is not .npz.
        AudioError: the file cannot be made there.
    """

    def __init__(self, path: Path | None, *, has_cast: bool, has_lines: bool) -> None:
        self._path = path
        self._hearing = HistoryLimits()
        self._kept: Speech | None = None
        if path is None:
            return
        if has_cast:
            raise OptionsError(
                "--save-voice keeps one voice, and --cast has several; say the lines of one "
                "speaker alone"
            )
        if has_lines:
            raise OptionsError(
                "--save-voice keeps one voice, and --lines says many texts; say one of them alone"
            )
        if path.suffix.lower() != _SUFFIX:
            raise VoiceError(f"{path}: suffix {path.suffix!r} is unknown, expected {_SUFFIX}")
        check_file_path(path)

    def __enter__(self) -> Self:
        return self

    def listen(self, speeches: Generator[Speech]) -> Generator[Speech]:
        """The same speeches."""
        with closing(speeches):
            for speech in speeches:
                self._consider(speech)
                yield speech

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._path is None:
            return
        if self._kept is not None:
            self._kept.to_voice().save(self._path)
            seconds = _frames(self._kept) / self._hearing.frame_rate_hz
            click.echo(
                f"{self._path}: a voice of {seconds:.2f} s; go on with --voice {self._path}",
                err=True,
            )
        elif kind is None:
            raise VoiceError(f"{self._path}: nothing was said, so no voice; try another seed")

    def _consider(self, speech: Speech) -> None:
        best = _frames(self._kept) if self._kept is not None else 0
        if best < self._hearing.fine_frames and _frames(speech) > best:
            self._kept = speech


def _frames(speech: Speech) -> int:
    frames: int = speech.fine_tokens.shape[1]
    return frames
