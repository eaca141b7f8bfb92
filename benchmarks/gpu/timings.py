"""Milliseconds of each stage's runs, with the product's settings of sessions or with others.

A length that runs for the first time may wait for a plan, so first and second times are apart.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from gpu_expectation import FACTOR, Gpu, find_gpu, rows_of, step_seconds
from machine import query_gpu
from models import bundle_folder

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.contract import CausalStage
from bark_onnx.runtime.inference.codec import bucket, run_codec
from bark_onnx.runtime.inference.decoders.decoder import Decoder, StepInput
from bark_onnx.runtime.inference.fine import (
    CodeDraw,
    FineModel,
    FinePass,
    fine_model,
    run_fine_passes,
)
from gpu.day import Day, Notes
from gpu.opening import ChangedCudaProvider, open_decoder, open_stage

_CHANGES: dict[str, Mapping[str, str | None]] = {
    "as they are": {},
    "cuDNN attention": {"sdpa_kernel": None},  # ONNX Runtime's choice
    "searched convolutions": {"cudnn_conv_algo_search": "EXHAUSTIVE"},
    "without XQA": {},  # by its environment
}
_CONTEXT, _STEPS = 400, 50
_PROMPTS = (257, 887)
_FRAMES = (300, 301, 302)  # of the fine stage's last codebook, and of utterances, plus 200
_MOST = 16  # sequences that share a fine pass or a codec run


def run(day: Day, notes: Notes, size: str, setting: str) -> None:
    """See the module."""
    bundle = Bundle(bundle_folder(size, ("fp32", "fp16")), verify=False)
    provider = ChangedCudaProvider(_CHANGES[setting])
    gpu = find_gpu(query_gpu("name")) if setting == "as they are" else None
    stages: tuple[CausalStage, ...] = ("semantic", "coarse")
    for stage in stages:
        decoder = open_decoder(bundle, stage, "fp16", provider, slots=max(day.batch_sizes))
        _time_prompts(notes, stage, decoder)
        for count in day.batch_sizes:
            _time_steps(notes, gpu, size, stage, decoder, count)
    session = open_stage(bundle, "fine", "fp16", provider)
    draws = provider.uses_draw_graphs
    _, contract = bundle.preferred_graph("fp16", "fine", for_draws=draws)
    _time_fine(notes, fine_model(session, contract), bundle)
    _time_codec(notes, open_stage(bundle, "codec", "fp16", provider), bundle)


def _time_prompts(notes: Notes, stage: CausalStage, decoder: Decoder) -> None:
    for tokens in _PROMPTS:
        step = StepInput(np.random.default_rng(tokens).integers(0, 10_000, tokens), 0)
        for time_name in ("first", "second"):
            seconds = _seconds(partial(decoder.prefill, 0, step))
            notes.add(f"ms, {stage}, prompt of {tokens}, {time_name} time", seconds * 1e3)


def _time_steps(
    notes: Notes, gpu: Gpu | None, size: str, stage: CausalStage, decoder: Decoder, count: int
) -> None:
    rng = np.random.default_rng(0)
    for slot in range(count):
        decoder.prefill(slot, StepInput(rng.integers(0, 10_000, _CONTEXT), 0))
    ids = rng.integers(0, 10_000, count)
    decode = getattr(decoder, "decode_scores", decoder.decode)  # without all logits
    times = [_seconds(lambda: decode(ids)) for _ in range(_STEPS)]
    seconds = statistics.median(times)
    rows = [row for row in rows_of(size, count) if row["stage"] == stage]
    expected = None
    if gpu and rows:
        nodes = rows[0]["nodes"]
        expected = step_seconds(gpu, size, stage, count, nodes=nodes, context=_CONTEXT)
    notes.add(
        f"ms, {stage}, step of {count} sequences",
        seconds * 1e3,
        expected=f"{expected * 1e3:.3g}, at most {FACTOR:g} times" if expected else "",
        holds=seconds <= FACTOR * expected if expected else None,
    )
    notes.add(f"ms, {stage}, slowest step of {count} sequences", max(times) * 1e3)


def _time_fine(notes: Notes, model: FineModel, bundle: Bundle) -> None:
    window = bundle.manifest.generation.fine.max_fine_input_length
    codebooks = bundle.manifest.shapes.fine.num_codebooks
    rng = np.random.default_rng(0)
    for count in (1, _MOST):
        codes = rng.integers(0, 1024, (count, window, codebooks))
        for frames in (window, *_FRAMES):
            draw = CodeDraw(0.5, rng.random(frames))
            passes = [FinePass(each, codebooks - 1, np.arange(frames), draw) for each in codes]
            for time_name in ("first", "second"):
                seconds = _seconds(partial(run_fine_passes, model, passes))
                name = f"ms, fine, {count} sequences, {frames} frames, {time_name} time"
                notes.add(name, seconds * 1e3)


def _time_codec(notes: Notes, session: Any, bundle: Bundle) -> None:
    shape = bundle.manifest.shapes.codec
    rng = np.random.default_rng(0)
    for count in (1, _MOST):
        for frames in (length + 200 for length in _FRAMES):
            codes = [rng.integers(0, shape.codebook_size, (frames, shape.num_codebooks))] * count
            for padded in (frames, bucket(frames)):
                for time_name in ("first", "second"):
                    seconds = _seconds(partial(run_codec, session, codes, padded=padded))
                    name = f"ms, codec, {count} sequences, {frames} frames as {padded}"
                    notes.add(f"{name}, {time_name} time", seconds * 1e3)


def _seconds(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started
