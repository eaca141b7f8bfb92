"""Says one text to wherever its sound goes, piece by piece."""

import os
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import click

from bark_onnx.graphs.errors import PlayerError
from bark_onnx.runtime.audio.encoders.stream import SpeechStream
from bark_onnx.runtime.audio.files.writer import SpeechWriter
from bark_onnx.runtime.audio.player import SpeechPlayer
from bark_onnx.runtime.audio.plot.plot import save_plot
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.audio.timestamps import write_timestamps
from bark_onnx.runtime.cli.options.output import Output
from bark_onnx.runtime.cli.speech.progress import ProgressBars
from bark_onnx.runtime.cli.speech.summary import SegmentSummary

_BROKEN_PIPE = 141  # what shells show for a program that SIGPIPE ended


@dataclass
class StreamResult:
    """What has been said so far."""

    started: float = field(default_factory=time.perf_counter)
    ended: float = 0.0  # when the last piece had been said; it may still be heard
    seconds: float = 0.0  # of audio
    pieces: list[SegmentSummary] = field(default_factory=list)
    failure: PlayerError | None = None  # the sound was kept, but could not be heard

    def add(self, speech: Speech) -> None:
        """One more piece."""
        self.pieces.append(SegmentSummary.of(speech))
        self.seconds = speech.end_seconds
        self.ended = time.perf_counter()


def say(
    speeches: Generator[Speech], output: Output, rate_hz: int, bars: ProgressBars
) -> StreamResult:
    """Write and play speeches as they come; an interrupt leaves what came.

    A player that fails does not cost the file: what is left is said and written.

    Raises:
        BarkError: a piece cannot be said, or what was said cannot be kept anywhere.
        click.Abort: the user interrupts.
        SystemExit: nobody reads standard output any more.
    """
    spoken = StreamResult()
    drawn: list[Speech] = []
    try:
        with (
            closing(speeches),
            _playing(output, rate_hz, spoken) as play,
            _keeping(output, rate_hz) as kept,
        ):
            for speech in speeches:
                if kept is not None:
                    kept.write(speech)
                spoken.add(speech)
                play(speech)
                bars.add(len(speech.text))
                if output.plot is not None:
                    drawn.append(speech)
    except BrokenPipeError:
        _leave_quietly()
    except KeyboardInterrupt as stop:
        if not spoken.pieces or (name := name_of(output)) is None:
            raise
        raise click.Abort(
            f"interrupted; {name} holds what was said before, {spoken.seconds:.2f} s"
        ) from stop
    finally:
        if output.timestamps is not None and spoken.pieces:
            stamps = [piece.timestamp for piece in spoken.pieces]
            write_timestamps(Path(output.timestamps), stamps)
        if output.plot is not None and drawn:
            save_plot(Path(output.plot), drawn)
    return spoken


def name_of(output: Output) -> str | None:
    """Where the sound is kept; None: it is only played."""
    if output.to_stdout:
        return "standard output"
    return None if output.path is None else str(output.path)


def _keeping(output: Output, rate_hz: int) -> SpeechStream | SpeechWriter | nullcontext[None]:
    if output.to_stdout:
        return SpeechStream(sys.stdout.buffer, rate_hz, output.stream_format)
    if output.path is None:
        return nullcontext()
    return SpeechWriter(
        output.path, rate_hz, audio_format=output.audio_format, metadata=not output.no_metadata
    )


@contextmanager
def _playing(
    output: Output, rate_hz: int, spoken: StreamResult
) -> Iterator[Callable[[Speech], None]]:
    """What has a speech heard, if that was asked for."""
    if not output.play:
        yield lambda speech: None
        return
    is_kept = name_of(output) is not None

    def play(speech: Speech) -> None:
        if spoken.failure is None:
            try:
                player.write(speech)
            except PlayerError as error:
                if not is_kept:
                    raise
                spoken.failure = error

    try:
        with SpeechPlayer(rate_hz) as player:
            yield play
    except PlayerError as error:
        if not is_kept:
            raise
        spoken.failure = error


def _leave_quietly() -> NoReturn:
    """End as other programs do when nobody reads what they write."""
    # Python flushes standard output at the end, which must not fail once more.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(_BROKEN_PIPE)
