"""bark-onnx speak --save-voice: saves a segment of the speech as a voice."""

from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Self

from bark_onnx.graphs.command_line import print_error
from bark_onnx.graphs.errors import OptionsError, VoiceError, printable
from bark_onnx.runtime.audio.files.paths import check_file_path
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.cli.options.output import check_file_name
from bark_onnx.runtime.voices.inspection import HistoryLimits

_SUFFIX = ".npz"


class VoiceSaver:
    """Saves one of the speeches that pass through `tee`, at the end of a `with` block.

    The voice is the first segment that is as long as the history that Bark uses (6.8 s): a longer
    one adds nothing, and listeners know the first. If all are shorter, it is the longest. After an
    error or an interrupt a voice is saved, as the sound is.

    Without a path it saves nothing.

    Raises:
        OptionsError: The speech has several voices, or the path is a folder's.
        VoiceError: The suffix is not .npz.
        AudioError: The file cannot be written there.
    """

    def __init__(self, name: str | None, *, has_speakers: bool, has_lines: bool) -> None:
        check_file_name("--save-voice", name)
        self._path = path = None if name is None else Path(name)
        self._limits = HistoryLimits()
        self._candidate: Speech | None = None
        if path is None:
            return
        if has_speakers or has_lines:
            several = "--lines has many texts; generate one of them alone"
            if has_speakers:
                several = "--speaker has several; generate the lines of one speaker alone"
            raise OptionsError(f"--save-voice saves one voice, and {several}")
        if path.suffix.lower() != _SUFFIX:
            raise VoiceError(f"{path}: suffix {path.suffix!r} is unknown, expected {_SUFFIX}")
        check_file_path(path)

    def __enter__(self) -> Self:
        return self

    def tee(self, speeches: Generator[Speech]) -> Generator[Speech]:
        """The same speeches, considered as voices on their way."""
        with closing(speeches):
            for speech in speeches:
                longest = _frames(self._candidate)
                if longest < self._limits.fine_frames and _frames(speech) > longest:
                    self._candidate = speech
                yield speech

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._path is None:
            return
        if self._candidate is not None:
            self._candidate.to_voice().save(self._path)
            seconds = _frames(self._candidate) / self._limits.frame_rate_hz
            path = printable(str(self._path))
            print_error(f"{path}: a voice of {seconds:.2f} s; use it with --voice {path}")
        elif kind is None:
            raise VoiceError(f"{self._path}: the speech is empty, so no voice; try another seed")


def _frames(speech: Speech | None) -> int:
    return 0 if speech is None else int(speech.fine_tokens.shape[1])
