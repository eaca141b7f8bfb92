"""How close a decode step comes to reading its weights and cache once at memory speed.

Prints a table; the last line is one JSON object.
"""

import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
from machine import describe_machine
from models import bundle_folder, size_option

from bark_onnx.graphs.contract import CausalStage
from bark_onnx.graphs.settings import Sampling
from bark_onnx.runtime.bundle import Bundle
from bark_onnx.runtime.decoder import CausalSessions, open_decoder
from bark_onnx.runtime.rows import Feed
from bark_onnx.runtime.sampling import draw
from bark_onnx.runtime.sessions import open_device, open_session

_SAMPLING = Sampling(do_sample=True, temperature=0.7, top_k=50, top_p=1.0)  # Suno's settings


@dataclass(frozen=True)
class Row:
    """One stage at one precision and one length of context."""

    stage: str
    precision: str
    context: int  # tokens in the cache
    step_ms: float
    sampling_ms: float
    weight_mb: float  # read by every step
    cache_mb: float  # likewise
    share_of_bandwidth: float  # (weights + cache) / time, of what a plain read reaches
    ratio_to_weights: float  # time over that of reading the weights once


@click.command()
@size_option
@click.option("--precision", default="fp32", show_default=True)
@click.option("--context", type=int, multiple=True, default=(300, 887), show_default=True)
@click.option("--steps", type=int, default=60, show_default=True)
@click.option("--threads", type=int, default=None)
def main(
    size: str, precision: str, context: tuple[int, ...], steps: int, threads: int | None
) -> None:
    """Measure decode steps of the semantic and coarse stages."""
    machine = describe_machine()
    folder = bundle_folder(size, (precision,))
    rows = []
    for stage in ("semantic", "coarse"):
        for length in context:
            # Before and after, since the machine may be shared.
            before = read_bandwidth(threads or machine["cores"])
            row = _measure(Bundle(folder), stage, precision, length, steps, threads)
            bandwidth = max(before, read_bandwidth(threads or machine["cores"]))
            rows.append(_finish(row, bandwidth))
            _print(rows[-1], bandwidth)
    click.echo(json.dumps({"machine": machine, "size": size, "rows": [asdict(r) for r in rows]}))


def read_bandwidth(threads: int, megabytes: int = 1024, repeats: int = 5) -> float:
    """Bytes per second that `threads` threads reach when they read memory and do little else."""
    parts = np.ones((threads, megabytes * 2**20 // 4 // threads), np.float32)

    def read(part: Any) -> float:
        # Dot products of pieces that fit no cache twice, one BLAS call each, without the GIL.
        return float(np.dot(part, part))

    with ThreadPoolExecutor(threads) as pool:
        return parts.nbytes / _best(lambda: list(pool.map(read, parts)), repeats)


def _best(run: Callable[[], Any], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times)


def _measure(
    bundle: Bundle,
    stage: CausalStage,
    precision: str,
    length: int,
    steps: int,
    threads: int | None,
) -> Row:
    shape = getattr(bundle.manifest.shapes, stage)
    contract = bundle.contract(stage)
    path = bundle.graph(precision, stage)
    session = open_session(path, contract, open_device("cpu", threads))
    decoder = open_decoder(CausalSessions(session, session), contract, shape, 1)
    rng = np.random.default_rng(0)
    decoder.feed(0, Feed(rng.integers(0, shape.input_vocabulary, length - steps // 2), 0))
    step_times, sampling_times = [], []
    for _ in range(steps):
        ids = rng.integers(0, shape.input_vocabulary, 1)
        started = time.perf_counter()
        logits = decoder.step(ids)
        stepped = time.perf_counter()
        draw(logits[0], _SAMPLING, rng)
        step_times.append(stepped - started)
        sampling_times.append(time.perf_counter() - stepped)
    cache = 2 * shape.num_layers * length * shape.num_heads * shape.head_size * 4
    return Row(
        stage=stage,
        precision=precision,
        context=length,
        step_ms=statistics.median(step_times) * 1e3,
        sampling_ms=statistics.median(sampling_times) * 1e3,
        weight_mb=_weight_bytes(path) / 1e6,
        cache_mb=cache / 1e6,
        share_of_bandwidth=0.0,
        ratio_to_weights=0.0,
    )


def _weight_bytes(path: Path) -> int:
    """Bytes of all weights but the embedding tables, of which a step reads single rows."""
    model = onnx.load(path, load_external_data=False)
    tables = {node.input[0] for node in model.graph.node if node.op_type == "Gather"}
    total = 0
    for tensor in model.graph.initializer:
        if tensor.name in tables:
            continue
        width = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize
        total += int(np.prod(tensor.dims)) * width
    return total


def _finish(row: Row, bandwidth: float) -> Row:
    seconds = row.step_ms / 1e3
    values = asdict(row) | {
        "share_of_bandwidth": (row.weight_mb + row.cache_mb) * 1e6 / seconds / bandwidth,
        "ratio_to_weights": seconds / (row.weight_mb * 1e6 / bandwidth),
    }
    return Row(**values)


def _print(row: Row, bandwidth: float) -> None:
    click.echo(
        f"{row.stage:<8} {row.precision:<5} context {row.context:>4}: {row.step_ms:6.2f} ms a step "
        f"({row.weight_mb:.0f} MB weights + {row.cache_mb:.0f} MB cache, "
        f"{row.share_of_bandwidth:.0%} of {bandwidth / 1e9:.1f} GB/s), "
        f"{row.ratio_to_weights:.2f} x reading the weights; "
        f"sampling {row.sampling_ms:.3f} ms ({row.sampling_ms / row.step_ms:.1%})"
    )


if __name__ == "__main__":
    main()
