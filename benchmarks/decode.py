"""Decode steps and prefills as shares of what the machine can do.

A decode step is bound by reading the weights and the cache; a pass (a prefill, a window of the fine
stage) by arithmetic. Prints a table; the last line is one JSON object.
"""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
from limits import product_rate, read_bandwidth
from machine import describe_machine, peak_megabytes
from models import bundle_folder, size_option
from onnx import helper

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.contract import CODEBOOK_INDEX, CODES, FRAME_INDICES
from bark_onnx.graphs.generation_config import Sampling
from bark_onnx.graphs.shapes import CausalShape, FineShape
from bark_onnx.runtime.inference.decoders.decoder import Decoder, StepInput
from bark_onnx.runtime.inference.models import StageModels
from bark_onnx.runtime.inference.sampling import sample_token

_SAMPLING = Sampling(do_sample=True, temperature=0.7, top_k=50, top_p=1.0)  # Suno's settings
_PASSES = (257, 887)  # tokens of the first prompt, and of the prompt of a sliding window


@dataclass(frozen=True)
class Step:
    """A decode step of one stage at one length of context."""

    stage: str
    context: int  # tokens in the cache
    step_ms: float
    sampling_ms: float
    weight_mb: float  # read by every step
    cache_mb: float  # read by every step
    share_of_bandwidth: float  # (weights + cache) / time, of what a plain read reaches
    ratio_to_weights: float  # time / time to read the weights once


@dataclass(frozen=True)
class Pass:
    """A run of many tokens of one stage."""

    stage: str
    tokens: int
    pass_ms: float
    operations: float  # multiplications and additions of its products, without masked ones
    share_of_product_rate: float  # operations / time, of what plain products of its type reach


@click.command()
@size_option
@click.option("--precision", default="fp32", show_default=True)
@click.option("--context", type=int, multiple=True, default=(300, 887), show_default=True)
@click.option("--steps", type=int, default=60, show_default=True)
@click.option("--threads", type=int, default=2, show_default=True)
def main(size: str, precision: str, context: tuple[int, ...], steps: int, threads: int) -> None:
    """Measure decode steps and passes of one precision on the CPU."""
    bundle = Bundle(bundle_folder(size, (precision,)))
    models = StageModels(
        bundle,
        provider="cpu",
        precision=precision,
        threads=threads,
        max_batch_size=1,
        low_memory=True,
    )
    shapes = bundle.manifest.shapes
    # Before and after: other processes may slow the machine down at times.
    bandwidth = read_bandwidth(threads)
    rate = product_rate(threads, integers=precision != "fp32")
    found_steps, found_passes = [], []
    for stage in ("semantic", "coarse"):
        shape = getattr(shapes, stage)
        weights = _weight_bytes(bundle.graph(precision, stage))
        with models.acquire(stage) as decoder:
            found_steps += [_step(decoder, stage, shape, weights, n, steps) for n in context]
            found_passes += [_pass(decoder, stage, shape, tokens) for tokens in _PASSES]
    window = bundle.manifest.generation.fine.max_fine_input_length
    with models.acquire("fine") as model:
        found_passes.append(_fine_pass(model.session, shapes.fine, window))
    bandwidth = max(bandwidth, read_bandwidth(threads))
    rate = max(rate, product_rate(threads, integers=precision != "fp32"))
    rows = [
        *(_with_share(row, bandwidth) for row in found_steps),
        *(_with_share(row, rate) for row in found_passes),
    ]
    click.echo(f"memory {bandwidth / 1e9:.1f} GB/s, products {rate / 1e9:.0f} G operations/s")
    for row in rows:
        _print(row)
    result: dict[str, Any] = {"machine": describe_machine(), "size": size, "precision": precision}
    result |= {"bandwidth": bandwidth, "product_rate": rate, "peak_mb": peak_megabytes()}
    click.echo(json.dumps({**result, "rows": [asdict(row) for row in rows]}))


def _step(
    decoder: Decoder, stage: str, shape: CausalShape, weights: int, length: int, steps: int
) -> Step:
    rng = np.random.default_rng(0)
    prompt = rng.integers(0, shape.input_vocabulary, length - steps // 2)
    decoder.prefill(0, StepInput(prompt, 0))
    step_times, sampling_times = [], []
    for _ in range(steps):
        input_ids = rng.integers(0, shape.input_vocabulary, 1)
        started = time.perf_counter()
        logits = decoder.decode(input_ids)
        stepped = time.perf_counter()
        sample_token(logits[0], _SAMPLING, rng)
        step_times.append(stepped - started)
        sampling_times.append(time.perf_counter() - stepped)
    cache = 2 * shape.num_layers * length * shape.num_heads * shape.head_size * 4
    return Step(
        stage=stage,
        context=length,
        step_ms=statistics.median(step_times) * 1e3,
        sampling_ms=statistics.median(sampling_times) * 1e3,
        weight_mb=weights / 1e6,
        cache_mb=cache / 1e6,
        share_of_bandwidth=0.0,
        ratio_to_weights=0.0,
    )


def _pass(decoder: Decoder, stage: str, shape: CausalShape, tokens: int) -> Pass:
    input_ids = np.random.default_rng(0).integers(0, shape.input_vocabulary, tokens)
    seconds = _median(lambda: decoder.prefill(0, StepInput(input_ids, 0)))
    # Each token attends to itself and those before it: half of the square.
    operations = _operations(shape, tokens, attended=(tokens + 1) / 2)
    return Pass(stage, tokens, seconds * 1e3, operations, 0.0)


def _fine_pass(session: Any, shape: FineShape, window: int) -> Pass:
    inputs = {
        CODES: np.random.default_rng(0).integers(0, 1024, (1, window, shape.num_codebooks)),
        CODEBOOK_INDEX: np.array(shape.num_codebooks - 1),
        FRAME_INDICES: np.arange(window),
    }
    seconds = _median(lambda: session.run(None, inputs))
    return Pass("fine", window, seconds * 1e3, _operations(shape, window, attended=window), 0.0)


def _operations(shape: CausalShape | FineShape, tokens: int, *, attended: float) -> float:
    """Operations of a pass: 12 h^2 weights per layer, scores and sums over attended tokens."""
    width = shape.num_heads * shape.head_size
    return 2.0 * tokens * shape.num_layers * (12 * width**2 + 2 * attended * width)


def _median(run: Callable[[], Any], repeats: int = 7) -> float:
    run()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _weight_bytes(path: Path) -> int:
    """Bytes of all weights except embedding tables, of which a step reads single rows."""
    model = onnx.load(path, load_external_data=False)
    tables = {node.input[0] for node in model.graph.node if node.op_type == "Gather"}
    total = 0
    for tensor in model.graph.initializer:
        if tensor.name in tables:
            continue
        width = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize
        total += int(np.prod(tensor.dims)) * width
    return total


def _with_share(row: Step | Pass, limit: float) -> Step | Pass:
    """The row with its share of the machine's limit."""
    if isinstance(row, Pass):
        share = row.operations / (row.pass_ms / 1e3) / limit
        return Pass(**asdict(row) | {"share_of_product_rate": share})
    seconds = row.step_ms / 1e3
    shares = {
        "share_of_bandwidth": (row.weight_mb + row.cache_mb) * 1e6 / seconds / limit,
        "ratio_to_weights": seconds / (row.weight_mb * 1e6 / limit),
    }
    return Step(**asdict(row) | shares)


def _print(row: Step | Pass) -> None:
    if isinstance(row, Pass):
        click.echo(
            f"{row.stage:<8} {row.tokens:>4} tokens at once: {row.pass_ms:8.2f} ms, "
            f"{row.operations / 1e9:.0f} G operations, "
            f"{row.share_of_product_rate:.0%} of plain products"
        )
        return
    click.echo(
        f"{row.stage:<8} context {row.context:>4}: {row.step_ms:6.2f} ms a step "
        f"({row.weight_mb:.0f} MB weights + {row.cache_mb:.0f} MB cache, "
        f"{row.share_of_bandwidth:.0%} of a plain read), "
        f"{row.ratio_to_weights:.2f} x reading the weights; "
        f"sampling {row.sampling_ms:.3f} ms ({row.sampling_ms / row.step_ms:.1%})"
    )


if __name__ == "__main__":
    main()
