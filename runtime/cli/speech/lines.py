"""Says every line of a text on its own, each to a file of its own; several run together."""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import click
from tqdm import tqdm

from bark_onnx.graphs.errors import BarkError, TextError
from bark_onnx.runtime.audio.files.writer import SpeechWriter
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.audio.timestamps import write_timestamps
from bark_onnx.runtime.cli.speech.line_outputs import LineOutput, make_folder
from bark_onnx.runtime.cli.speech.summary import SegmentSummary, SpeechSummary
from bark_onnx.runtime.seeds import segment_seed

_LOOK_UP_SECONDS = 0.2  # how soon an interrupt is noticed


class Closable(Protocol):
    """The engine, as far as an interrupt needs it."""

    def close(self) -> None:
        """End what is being said."""


# The speeches of a text, given the seed of the whole; raises at once what is wrong with either.
Stream = Callable[[str, int], Iterator[Speech]]


@dataclass(frozen=True)
class LineBatchOptions:
    """How lines are said."""

    stream: Stream
    seed: int  # of the whole: line n has `segment_seed(seed, n - 1)`
    together: int  # lines that are said at the same time
    audio_format: str | None
    metadata: bool  # files tell how they were made
    template: SpeechSummary  # what all reports have in common


def split_lines(text: str) -> dict[int, str]:
    """The lines of a text by their numbers, from 1; those that are blank are left out."""
    return {number: line.strip() for number, line in enumerate(text.split("\n"), 1) if line.strip()}


def speak_lines(
    bark: Closable,
    lines: dict[int, str],
    files: list[LineOutput],
    settings: LineBatchOptions,
    show: Callable[[SpeechSummary], None],
) -> int:
    """Say lines; each file appears as soon as it is whole, and stays whatever happens later.

    Args:
        bark: closed by an interrupt, so that what is being said ends.
        lines: texts by number.
        files: where each goes.
        settings: how.
        show: told of every file, in the order of the lines.

    Returns:
        How many lines failed; each was told on standard error.

    Raises:
        BarkError: a setting is wrong, so that no line can be said.
        click.Abort: the user interrupts.
    """
    make_folder(files[0].sound.parent)
    started: list[tuple[LineOutput, Future[SpeechSummary]]] = []
    written = 0
    with _workers(bark, settings.together) as workers:
        for file in files:
            seed = segment_seed(settings.seed, file.number - 1)
            started.append((file, _begin(workers, lines[file.number], seed, file, settings)))
        bar = tqdm(started, unit="line", leave=False, disable=None)
        try:
            for file, report in bar:
                _wait(report)
                bar.clear()
                written += _tell(file, report, show)
        except KeyboardInterrupt as stop:
            raise click.Abort(f"interrupted; {written} of {len(files)} files are written") from stop
    return len(files) - written


def _begin(
    workers: ThreadPoolExecutor, text: str, seed: int, file: LineOutput, settings: LineBatchOptions
) -> Future[SpeechSummary]:
    try:
        speeches = settings.stream(text, seed)
    except TextError as error:  # nothing but this line's own text
        failed: Future[SpeechSummary] = Future()
        failed.set_exception(error)
        return failed
    template = replace(settings.template, seed=seed, line=file.number, output=str(file.sound))
    return workers.submit(_say_line, speeches, file, settings, template)


def _say_line(
    coming: Iterable[Speech], file: LineOutput, settings: LineBatchOptions, template: SpeechSummary
) -> SpeechSummary:
    """Say one line and write it. Nothing is written before all of it is said."""
    started = time.perf_counter()
    speeches = list(coming)
    spoken = time.perf_counter() - started
    with SpeechWriter(
        file.sound,
        template.sample_rate_hz,
        audio_format=settings.audio_format,
        metadata=settings.metadata,
    ) as sound:
        for speech in speeches:
            sound.write(speech)
    pieces = tuple(SegmentSummary.of(speech) for speech in speeches)
    if file.timestamps is not None:
        write_timestamps(file.timestamps, [piece.timestamp for piece in pieces])
    return replace(template, seconds=sound.seconds, pieces=pieces, speaking_seconds=spoken)


def _wait(future: Future[SpeechSummary]) -> None:
    while wait([future], timeout=_LOOK_UP_SECONDS).not_done:
        pass


def _tell(
    file: LineOutput, future: Future[SpeechSummary], show: Callable[[SpeechSummary], None]
) -> bool:
    """Say what became of a line; whether it was written."""
    try:
        report = future.result()
    except BarkError as error:
        click.echo(f"bark-onnx: line {file.number}: {error}", err=True)
        return False
    show(report)
    return True


@contextmanager
def _workers(bark: Closable, count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that are gone when the block ends; an error or an interrupt ends their work."""
    workers = ThreadPoolExecutor(count, thread_name_prefix="bark-onnx line")
    try:
        yield workers
    except BaseException:
        workers.shutdown(wait=False, cancel_futures=True)
        bark.close()
        raise
    finally:
        workers.shutdown()
