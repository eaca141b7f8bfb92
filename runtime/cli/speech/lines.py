"""bark-onnx speak --lines: generates each line separately and writes it to its own file."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import click

from bark_onnx.graphs.command_line import print_error
from bark_onnx.graphs.errors import AudioError, BarkError, TextError
from bark_onnx.graphs.files.atomic_write import wrap_os_errors
from bark_onnx.graphs.interrupts import delayed_interrupts
from bark_onnx.runtime.audio.files.writer import SpeechWriter
from bark_onnx.runtime.audio.timestamps import write_timestamps
from bark_onnx.runtime.cli.options.output import OutputOptions
from bark_onnx.runtime.cli.speech.line_outputs import LineOutput
from bark_onnx.runtime.cli.speech.progress import import_tqdm
from bark_onnx.runtime.cli.speech.summary import SegmentSummary, SpeechSummary
from bark_onnx.runtime.longform.plan import StreamPlan
from bark_onnx.runtime.longform.streaming import FinishedText, SubmitSegment, stream_many
from bark_onnx.runtime.seeds import segment_seed

Plan = Callable[..., StreamPlan]  # takes a text and a seed


def speak_lines(
    lines: dict[int, str],
    outputs: list[LineOutput],
    plan: Plan,
    submit: SubmitSegment,
    concurrency: int,
    options: OutputOptions,
    summary: SpeechSummary,
) -> int:
    """Generate speech for lines; each file is written at once, whatever happens to others.

    Args:
        lines: Texts by number.
        outputs: Files of each line.
        plan: Plans a line.
        submit: Submits a segment to the engine.
        concurrency: Lines generated in parallel.
        options: Options of the output.
        summary: Common to all lines; line n has `segment_seed(summary.seed, n - 1)`.

    Returns:
        Number of lines that failed, whose errors are on standard error.
    """
    results = _Results(outputs, as_json=options.as_json)
    positions: list[int] = []  # of the lines that were planned
    plans = _plan_lines(lines, plan, summary.seed, positions, results, outputs[0].sound.parent)
    try:
        with (
            closing(stream_many(plans, submit, concurrency=concurrency)) as texts,
            import_tqdm()(total=len(lines), unit="line", leave=False, disable=None) as bar,
        ):
            for text in texts:
                position = positions[text.index]
                with delayed_interrupts():
                    result = _write_line(text, outputs[position], options, summary)
                    results.add(position, result)
                bar.update()
                bar.clear()
                results.report_ready()
        results.report_ready()
    except KeyboardInterrupt as stop:
        count = f"{results.num_written} of {len(outputs)}"
        raise click.Abort(f"interrupted; {count} files are written") from stop
    return len(outputs) - results.num_written


class _Results:
    """Summaries and errors of lines, reported in order although they arrive in any order."""

    def __init__(self, outputs: list[LineOutput], *, as_json: bool) -> None:
        self.num_written = 0
        self._outputs = outputs
        self._as_json = as_json
        self._waiting: dict[int, SpeechSummary | BarkError] = {}  # by position
        self._num_reported = 0

    def add(self, position: int, result: SpeechSummary | BarkError) -> None:
        self._waiting[position] = result
        self.num_written += isinstance(result, SpeechSummary)

    def report_ready(self) -> None:
        """Report lines up to the first one that has no result yet."""
        while self._num_reported in self._waiting:
            result = self._waiting.pop(self._num_reported)
            if isinstance(result, SpeechSummary):
                result.show(as_json=self._as_json, to_stderr=False)
            else:
                number = self._outputs[self._num_reported].number
                print_error(f"bark-onnx: line {number}: {result}")
            self._num_reported += 1


def _plan_lines(
    lines: dict[int, str],
    plan: Plan,
    seed: int,
    positions: list[int],
    results: _Results,
    folder: Path,
) -> Iterator[StreamPlan]:
    """Plan each line and append its position; an error of its text becomes its result.

    The folder is made once a line can be generated.
    """
    for position, (number, line) in enumerate(lines.items()):
        try:
            planned = plan(line, seed=segment_seed(seed, number - 1))
        except TextError as error:
            results.add(position, error)
        else:
            if not positions:
                _make_folder(folder)
            positions.append(position)
            yield planned


def _make_folder(folder: Path) -> None:
    with wrap_os_errors(AudioError, f"{folder}: cannot be created"):
        folder.mkdir(exist_ok=True)


def _write_line(
    text: FinishedText, output: LineOutput, options: OutputOptions, summary: SpeechSummary
) -> SpeechSummary | BarkError:
    if text.error is not None:
        return text.error
    try:
        with SpeechWriter(
            output.sound,
            summary.sample_rate_hz,
            audio_format=options.audio_format,
            metadata=not options.no_metadata,
        ) as sound:
            for speech in text.speeches:
                sound.write(speech)
        segments = tuple(SegmentSummary.of(speech) for speech in text.speeches)
        if output.timestamps is not None:
            write_timestamps(output.timestamps, [segment.timestamp for segment in segments])
    except BarkError as error:
        return error
    return replace(
        summary,
        seed=segment_seed(summary.seed, output.number - 1),
        line=output.number,
        output=str(output.sound),
        has_replaced=sound.has_replaced,
        seconds=sound.seconds,
        segments=segments,
        speaking_seconds=text.seconds,
    )
