"""Tokens per second of decode steps over the batch size.

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

_BATCH_SIZES = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class Point:
    """Decode steps of one batch size at one precision."""

    precision: str
    batch_size: int
    step_ms: float
    tokens_per_second: float
    gain: float  # tokens per second, over those of a single sequence


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
    """Measure decode steps of the coarse stage with sequences of lengths around --context."""
    bundle = Bundle(bundle_folder(size, precisions))
    vocabulary = bundle.manifest.shapes.coarse.input_vocabulary
    points: list[Point] = []
    for precision in precisions:
        models = StageModels(
            bundle,
            provider=provider,
            precision=precision,
            threads=threads,
            max_batch_size=max(_BATCH_SIZES),
            low_memory=True,
        )
        with models.acquire("coarse") as decoder:
            _measure(decoder, 1, context, steps, vocabulary)  # warm up
            single = 0.0
            for batch_size in _BATCH_SIZES:
                seconds = _measure(decoder, batch_size, context, steps, vocabulary)
                single = single or seconds
                gain = batch_size * single / seconds
                points.append(
                    Point(precision, batch_size, seconds * 1e3, batch_size / seconds, gain)
                )
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
        f"{point.precision:<5} batch {point.batch_size:>2}: {point.step_ms:7.1f} ms per step, "
        f"{point.tokens_per_second:7.1f} tokens per second, {point.gain:5.2f} x a single sequence"
    )


def _measure(decoder: Decoder, batch_size: int, context: int, steps: int, vocabulary: int) -> float:
    """Median seconds of a decode step; lengths of the sequences differ by up to a fifth."""
    rng = np.random.default_rng(0)
    for slot in range(batch_size):
        length = context + int(rng.integers(-context // 10, context // 10 + 1))
        if decoder.lengths[slot] == 0:
            decoder.prefill(slot, StepInput(rng.integers(0, vocabulary, length), 0))
        decoder.lengths[slot] = length
    times = []
    for _ in range(steps):
        ids = rng.integers(0, vocabulary, batch_size)
        started = time.perf_counter()
        decoder.decode(ids)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


if __name__ == "__main__":
    main()
