"""Tokens per second of decode steps over the number of rows that share them.

Prints a table; the last line is one JSON object.
"""

import json
import statistics
import time
from dataclasses import asdict, dataclass

import click
import numpy as np
from machine import describe_machine
from models import bundle_folder, size_option

from bark_onnx.runtime.bundle import Bundle
from bark_onnx.runtime.decoder import CausalSessions, open_decoder
from bark_onnx.runtime.rows import Decoder, Feed
from bark_onnx.runtime.sessions import open_device, open_session

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
@click.option("--threads", type=int, default=None)
def main(
    size: str, precisions: tuple[str, ...], context: int, steps: int, threads: int | None
) -> None:
    """Measure steps of the coarse stage with rows of different lengths around --context."""
    bundle = Bundle(bundle_folder(size, precisions))
    device = open_device("cpu", threads)
    shape, contract = bundle.manifest.shapes.coarse, bundle.contract("coarse")
    points: list[Point] = []
    for precision in precisions:
        session = open_session(bundle.graph(precision, "coarse"), contract, device)
        sessions = CausalSessions(session, session)
        decoder = open_decoder(sessions, contract, shape, max(_ROWS))
        single = 0.0
        for rows in _ROWS:
            seconds = _measure(decoder, rows, context, steps, shape.input_vocabulary)
            single = single or 1 / seconds
            points.append(
                Point(precision, rows, seconds * 1e3, rows / seconds, rows / seconds / single)
            )
            click.echo(
                f"{precision:<5} {rows:>2} rows: {points[-1].step_ms:7.1f} ms a step, "
                f"{points[-1].tokens_per_second:7.1f} tokens a second, "
                f"{points[-1].over_one_row:5.2f} x one row"
            )
    click.echo(
        json.dumps(
            {
                "machine": describe_machine(),
                "size": size,
                "context": context,
                "points": [asdict(point) for point in points],
            }
        )
    )


def _measure(decoder: Decoder, rows: int, context: int, steps: int, vocabulary: int) -> float:
    """Median seconds of a step; the rows' lengths differ by up to a fifth."""
    rng = np.random.default_rng(0)
    for slot in range(rows):
        length = context + int(rng.integers(-context // 10, context // 10 + 1))
        if decoder.lengths[slot] == 0:
            decoder.feed(slot, Feed(rng.integers(0, vocabulary, length), 0))
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
