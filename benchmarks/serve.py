"""Throughput and latency of one server with many clients, with and without batching.

Starts `bark-onnx serve` twice on this machine and sends requests from here, so that clients and
server share its cores. Responses are streamed: the first audio is that of the first segment.
Prints a table; the last line is one JSON object.
"""

import asyncio
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import httpx2
import numpy as np
from machine import describe_machine, peak_megabytes
from models import bundle_folder, size_option
from server_process import running_server

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.runtime.text.segments import Segment, split_text
from bark_onnx.runtime.text.tokenizer import TextTokenizer

_SAMPLE_BYTES, _RATE_HZ = 2, 24_000
_SECONDS_PER_TOKEN = 1 / 49.9  # semantic tokens of audio


@dataclass(frozen=True)
class Answer:
    """What one request came to."""

    first_audio_seconds: float
    seconds: float
    audio_seconds: float


@dataclass(frozen=True)
class Point:
    """So many clients at once, each with one request at a time."""

    max_batch_size: int
    clients: int
    requests: int
    audio_per_second: float  # seconds of audio of all clients in a second
    first_audio_p50: float  # seconds
    first_audio_p95: float
    latency_p50: float
    latency_p95: float
    mean_batch_size: float  # in a decode step of the coarse stage
    peak_mb: float  # of the server so far, loading included


@click.command()
@size_option
@click.option("--precision", default="fp32", show_default=True)
@click.option(
    "--max-batch-size", "batch_sizes", type=int, multiple=True, default=(8, 1), show_default=True
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
        "batch  clients  requests  audio s/s  "
        "first audio p50 / p95 s  latency p50 / p95 s  sequences  peak MB"
    )
    for max_batch_size in batch_sizes:
        arguments = ["--max-batch-size", str(max_batch_size), "--precision", precision]
        arguments += ["--threads", str(threads)] if threads else []
        with running_server(folder, arguments) as (url, process):
            for count in clients:
                seeds = [range(1000 * it, 1000 * it + -(-requests // count)) for it in range(count)]
                bodies = [[request(seed) for seed in client] for client in seeds]
                point = asyncio.run(_measure(url, process, bodies, max_batch_size))
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
        f"{point.max_batch_size:>5}  {point.clients:>7}  {point.requests:>8}  "
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


async def _measure(
    url: str, process: int, bodies: list[list[dict[str, Any]]], max_batch_size: int
) -> Point:
    """Ask for all bodies, each client for its own."""
    async with httpx2.AsyncClient(base_url=url, timeout=None) as http:
        steps, sequences = await _steps(http)
        started = time.perf_counter()
        answers = [
            answer
            for each in await asyncio.gather(*(_ask(http, client) for client in bodies))
            for answer in each
        ]
        seconds = time.perf_counter() - started
        more_steps, more_sequences = await _steps(http)
    first, last = np.percentile([answer.first_audio_seconds for answer in answers], (50, 95))
    middle, longest = np.percentile([answer.seconds for answer in answers], (50, 95))
    return Point(
        max_batch_size=max_batch_size,
        clients=len(bodies),
        requests=len(answers),
        audio_per_second=sum(answer.audio_seconds for answer in answers) / seconds,
        first_audio_p50=float(first),
        first_audio_p95=float(last),
        latency_p50=float(middle),
        latency_p95=float(longest),
        mean_batch_size=(more_sequences - sequences) / (more_steps - steps),
        peak_mb=peak_megabytes(process),
    )


async def _ask(http: httpx2.AsyncClient, bodies: list[dict[str, Any]]) -> list[Answer]:
    """The requests of one client, one after the other."""
    answers = []
    for body in bodies:
        started = time.perf_counter()
        first, size = 0.0, 0
        async with http.stream("POST", "/v1/audio/speech", json=body) as response:
            response.raise_for_status()
            async for chunk in response.aiter_bytes():
                first = first or time.perf_counter() - started
                size += len(chunk)
        seconds = time.perf_counter() - started
        audio_seconds = size / _SAMPLE_BYTES / _RATE_HZ
        answers.append(Answer(first, seconds, audio_seconds))
    return answers


async def _steps(http: httpx2.AsyncClient) -> tuple[float, float]:
    """Steps of the coarse stage so far, and the sequences in them."""
    text = (await http.get("/metrics")).text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    names = (f'bark_batch_size_{kind}{{stage="coarse"}}' for kind in ("count", "sum"))
    steps, sequences = (float(values.get(name, 0)) for name in names)
    return steps, sequences


if __name__ == "__main__":
    main()
