"""Throughput and latency of one server with many clients, with and without batching, or on Ray.

Starts `bark-onnx serve` for each setting on this machine and sends requests from here, so that
clients and server share its cores. Responses are streamed: the first audio is that of the first
segment. `--replicas 0 --replicas 1 --replicas 2` puts the two tiers of a cluster beside the
single-machine server. Prints a table; the last line is one JSON object.
"""

import asyncio
import itertools
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from clients import ask_all
from machine import describe_machine, peak_megabytes, process_tree
from models import bundle_folder, size_option
from server_process import running_server

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.runtime.text.segments import Segment, split_text
from bark_onnx.runtime.text.tokenizer import TextTokenizer

_SECONDS_PER_TOKEN = 1 / 49.9  # semantic tokens of audio


@dataclass(frozen=True)
class Point:
    """So many clients at once, each with one request at a time."""

    replicas: int  # speaker replicas on Ray; 0: the single-machine server
    max_batch_size: int
    clients: int
    requests: int
    audio_per_second: float  # seconds of audio of all clients in a second
    first_audio_p50: float  # seconds
    first_audio_p95: float
    latency_p50: float
    latency_p95: float
    mean_batch_size: float  # in a decode step of the coarse stage
    peak_mb: float  # of all processes of the server so far, loading included


@click.command()
@size_option
@click.option("--precision", default="fp32", show_default=True)
@click.option(
    "--max-batch-size", "batch_sizes", type=int, multiple=True, default=(8, 1), show_default=True
)
@click.option(
    "--replicas",
    "replica_counts",
    type=click.IntRange(0),
    multiple=True,
    default=(0,),
    show_default=True,
    help="Speaker replicas on Ray; 0: the single-machine server.",
)
@click.option("--clients", type=int, multiple=True, default=(1, 2, 4, 8, 16), show_default=True)
@click.option(
    "--requests",
    type=int,
    default=4,
    show_default=True,
    help="At least so many in all; each client makes the same number, one after the other.",
)
@click.option("--seconds", type=float, default=7.0, show_default=True, help="Audio of a request.")
@click.option(
    "--spread",
    type=click.FloatRange(0, 0.9),
    default=0.0,
    show_default=True,
    help="Requests are up to this share shorter or longer than that.",
)
@click.option("--segments", type=int, default=1, show_default=True, help="Of a request's text.")
@click.option("--threads", type=int, default=None)
@click.option("--output", type=click.Path(path_type=Path), help="Also write the JSON here.")
def main(
    size: str,
    precision: str,
    batch_sizes: tuple[int, ...],
    replica_counts: tuple[int, ...],
    clients: tuple[int, ...],
    requests: int,
    seconds: float,
    spread: float,
    segments: int,
    threads: int | None,
    output: Path | None,
) -> None:
    """Measure throughput and waits of a server over the number of its clients."""
    folder = bundle_folder(size, (precision,))
    tokens = seconds / segments / _SECONDS_PER_TOKEN
    text = _text(folder, segments)
    voice = "alloy" if segments > 1 else None  # without one, segments wait for each other

    def request(seed: int) -> dict[str, Any]:
        length = 1 + spread * np.random.default_rng(seed).uniform(-1, 1)
        return {
            "input": text,
            "voice": voice,
            "response_format": "pcm",
            "semantic_max_new_tokens": round(tokens * length),
            "seed": seed,
        }

    points: list[Point] = []
    click.echo(
        "replicas  batch  clients  requests  audio s/s  "
        "first audio p50 / p95 s  latency p50 / p95 s  sequences  peak MB"
    )
    for replicas, max_batch_size in itertools.product(replica_counts, batch_sizes):
        arguments = ["--max-batch-size", str(max_batch_size), "--precision", precision]
        arguments += ["--threads", str(threads)] if threads else []
        arguments += ["--ray", "--replicas", str(replicas)] if replicas else []
        with running_server(folder, arguments) as (url, process):
            for count in clients:
                seeds = [range(1000 * it, 1000 * it + -(-requests // count)) for it in range(count)]
                bodies = [[request(seed) for seed in client] for client in seeds]
                measured = asyncio.run(ask_all(url, bodies))
                peak = sum(map(peak_megabytes, process_tree(process)))
                point = Point(replicas, max_batch_size, count, peak_mb=peak, **measured)
                points.append(point)
                _print(point)
    result: dict[str, Any] = {"machine": describe_machine(), "size": size, "precision": precision}
    result |= {"threads": threads, "seconds": seconds, "spread": spread, "segments": segments}
    line = json.dumps(result | {"points": [asdict(point) for point in points]})
    if output is not None:
        output.write_text(line + "\n")
    click.echo(line)


def _print(point: Point) -> None:
    click.echo(
        f"{point.replicas:>8}  {point.max_batch_size:>5}  {point.clients:>7}  {point.requests:>8}  "
        f"{point.audio_per_second:>9.2f}  "
        f"{point.first_audio_p50:>13.2f} / {point.first_audio_p95:>7.2f}  "
        f"{point.latency_p50:>9.2f} / {point.latency_p95:>7.2f}  "
        f"{point.mean_batch_size:>9.2f}  {point.peak_mb:>7.0f}"
    )


def _text(folder: Path, segments: int) -> str:
    """Sentences, of which one segment holds one."""
    bundle = Bundle(folder)
    generation = bundle.manifest.generation

    def split(text: str) -> list[Segment]:
        return split_text(
            text,
            count_tokens=TextTokenizer.from_bundle(bundle).count,
            max_tokens=generation.semantic.max_input_semantic_length,
            max_seconds=generation.segment_seconds,
            tokens_per_second=generation.text_tokens_per_second,
        )

    sentence = "Hello, my dog is cute."
    while len(split(f"And {sentence}")) == 1:
        sentence = f"And {sentence}"
    text = " ".join([sentence] * segments)
    assert len(split(text)) == segments
    return text


if __name__ == "__main__":
    main()
