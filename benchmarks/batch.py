"""Tokens per second of decode steps over the number of rows that share them.

Prints a table; the last line is one JSON object.
"""

import json
import statistics
import time
from dataclasses import asdict, dataclass

import click
import numpy as np
from machine import describe_machine, peak_megabytes
from models import bundle_folder, size_option

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.runtime.inference.decoders.decoder import Decoder, StepInput
from bark_onnx.runtime.inference.models import StageModels

_ROWS = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class Point:
    """Decode steps of some rows at one precision."""

    precision: str
    rows: int
    step_ms: float
    tokens_per_second: float
    over_one_row: float


@click.command()
@size_option
@click.option("--precision", "precisions", multiple=True, default=("fp32", "int8", "int4"))
@click.option("--context", type=int, default=400, show_default=True, help="Tokens in each cache.")
@click.option("--steps", type=int, default=15, show_default=True)
@click.option("--provider", type=click.Choice(("cpu", "cuda")), default="cpu", show_default=True)
@click.option("--threads", type=int, default=None)
def main(
    size: str,
    precisions: tuple[str, ...],
    context: int,
    steps: int,
    provider: str,
    threads: int | None,
) -> None:
    """Measure steps of the coarse stage with rows of different lengths around --context."""
    bundle = Bundle(bundle_folder(size, precisions))
    vocabulary = bundle.manifest.shapes.coarse.input_vocabulary
    points: list[Point] = []
    for precision in precisions:
        stages = StageModels(
            bundle,
            provider=provider,
            precision=precision,
            threads=threads,
            max_batch_size=max(_ROWS),
            low_memory=True,
        )
        with stages.use("coarse") as decoder:
            _measure(decoder, 1, context, steps, vocabulary)  # warm up
            single = 0.0
            for rows in _ROWS:
                seconds = _measure(decoder, rows, context, steps, vocabulary)
                single = single or seconds
                gain = rows * single / seconds
                points.append(Point(precision, rows, seconds * 1e3, rows / seconds, gain))
                _print(points[-1])
    click.echo(
        json.dumps(
            {
                "machine": describe_machine(),
                "size": size,
                "provider": provider,
                "context": context,
                "peak_mb": peak_megabytes(),
                "points": [asdict(point) for point in points],
            }
        )
    )


def _print(point: Point) -> None:
    click.echo(
        f"{point.precision:<5} {point.rows:>2} rows: {point.step_ms:7.1f} ms a step, "
        f"{point.tokens_per_second:7.1f} tokens a second, {point.over_one_row:5.2f} x one row"
    )


def _measure(decoder: Decoder, rows: int, context: int, steps: int, vocabulary: int) -> float:
    """Median seconds of a step; the rows' lengths differ by up to a fifth."""
    rng = np.random.default_rng(0)
    for slot in range(rows):
        length = context + int(rng.integers(-context // 10, context // 10 + 1))
        if decoder.lengths[slot] == 0:
            decoder.feed(slot, StepInput(rng.integers(0, vocabulary, length), 0))
        decoder.lengths[slot] = length
    times = []
    for _ in range(steps):
        ids = rng.integers(0, vocabulary, rows)
        started = time.perf_counter()
        decoder.step(ids)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


if __name__ == "__main__":
    main()
