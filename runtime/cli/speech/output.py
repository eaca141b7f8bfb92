"""Writes and plays the speech of one text, segment by segment."""

import sys
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import click

from bark_onnx.graphs.command_line import discard_stdout
from bark_onnx.graphs.errors import BarkError, PlayerError
from bark_onnx.graphs.files.partial_file import is_special
from bark_onnx.graphs.interrupts import delayed_interrupts
from bark_onnx.runtime.audio.encoders.stream import SpeechStream
from bark_onnx.runtime.audio.files.writer import SpeechWriter
from bark_onnx.runtime.audio.player import SpeechPlayer
from bark_onnx.runtime.audio.plot import save_plot
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.audio.timestamps import write_timestamps
from bark_onnx.runtime.cli.options.output import OutputOptions
from bark_onnx.runtime.cli.speech.progress import ProgressBars
from bark_onnx.runtime.cli.speech.summary import SegmentSummary

_SIGPIPE_STATUS = 141  # of a program that SIGPIPE ended, in a shell


@dataclass
class StreamResult:
    """The speech that was written or played so far."""

    started: float = field(default_factory=time.perf_counter)
    ended: float = 0.0  # when the last segment was generated; it may still be playing
    seconds: float = 0.0  # of audio
    segments: list[SegmentSummary] = field(default_factory=list)
    has_replaced: bool = False  # another file
    player_error: PlayerError | None = None  # of a sound that was written nevertheless

    def add(self, speech: Speech) -> None:
        """Add a segment."""
        self.segments.append(SegmentSummary.of(speech))
        self.seconds = speech.end_seconds
        self.ended = time.perf_counter()


def write_stream(
    speeches: Generator[Speech], output: OutputOptions, rate_hz: int, bars: ProgressBars
) -> StreamResult:
    """Write and play speeches as they are generated; an interrupt keeps those before it.

    If the player fails, the other speeches are still generated and written.

    Raises:
        BarkError: A segment failed, or cannot be written or played.
        click.Abort: The user interrupted.
        SystemExit: The reader of standard output closed it.
    """
    result = StreamResult()
    plotted: list[Speech] = []
    writer = _make_sink(output, rate_hz)
    undisturbed = _context_of_writes(output)
    try:
        with (
            _extra_files(output, result, plotted, writer),
            closing(speeches),
            _kept_player_error(output, result),
            _open_player(output, rate_hz) as player,
            writer as sink,
        ):
            for speech in speeches:
                with undisturbed():
                    if sink is not None:
                        sink.write(speech)
                    result.add(speech)
                if player is not None and result.player_error is None:
                    with _kept_player_error(output, result):
                        player.write(speech)
                bars.add(len(speech.text))
                if output.plot is not None:
                    plotted.append(speech)
    except BrokenPipeError:
        discard_stdout()
        sys.exit(_SIGPIPE_STATUS)
    except KeyboardInterrupt as stop:
        if not result.segments or output.display_name is None:
            raise
        raise click.Abort(
            f"interrupted; {output.display_name} has the first {result.seconds:.2f} s"
        ) from stop
    result.has_replaced = isinstance(writer, SpeechWriter) and writer.has_replaced
    return result


@contextmanager
def _extra_files(
    output: OutputOptions, result: StreamResult, plotted: list[Speech], writer: object
) -> Iterator[None]:
    """Write timestamps and picture of what was written, after an error or an interrupt too."""
    try:
        yield
    except BaseException:
        if not isinstance(writer, SpeechWriter) or writer.is_written:
            try:
                _write_extra_files(output, result, plotted)
            except BarkError as error:
                warnings.warn(str(error), stacklevel=2)
        raise
    _write_extra_files(output, result, plotted)


def _write_extra_files(output: OutputOptions, result: StreamResult, plotted: list[Speech]) -> None:
    if output.timestamps is not None and result.segments:
        timestamps = [segment.timestamp for segment in result.segments]
        write_timestamps(Path(output.timestamps), timestamps)
    if output.plot is not None and plotted:
        save_plot(Path(output.plot), plotted)


def _context_of_writes(output: OutputOptions) -> Callable[[], AbstractContextManager[None]]:
    """Delays interrupts, so that a file has what is counted; a pipe may wait for its reader."""
    if output.to_stdout or output.path is None or is_special(output.path):
        return nullcontext
    return delayed_interrupts


def _make_sink(
    output: OutputOptions, rate_hz: int
) -> SpeechStream | SpeechWriter | nullcontext[None]:
    if output.to_stdout:
        return SpeechStream(sys.stdout.buffer, rate_hz, output.stream_format)
    if output.path is None:
        return nullcontext()
    return SpeechWriter(
        output.path, rate_hz, audio_format=output.audio_format, metadata=not output.no_metadata
    )


def _open_player(output: OutputOptions, rate_hz: int) -> SpeechPlayer | nullcontext[None]:
    return SpeechPlayer(rate_hz) if output.play else nullcontext()


@contextmanager
def _kept_player_error(output: OutputOptions, result: StreamResult) -> Iterator[None]:
    """Keep an error of the player for the end, if the sound is also written."""
    try:
        yield
    except PlayerError as error:
        if output.display_name is None or not result.segments:
            raise
        result.player_error = error
