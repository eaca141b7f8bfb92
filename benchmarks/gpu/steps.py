"""Whether prompts and steps on the GPU give the logits that the CPU gives in fp32.

Kept prefixes beside sequences that step, and replayed steps against those that are not captured.
"""

from collections.abc import Callable

import numpy as np
from models import bundle_folder
from numpy.typing import NDArray

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.contract import CausalStage
from bark_onnx.runtime.inference.decoders.decoder import Decoder, StepInput
from bark_onnx.runtime.inference.providers.cpu import CpuProvider
from bark_onnx.runtime.inference.providers.cuda import CudaProvider
from gpu.bundles import SMALL
from gpu.day import Day, Notes
from gpu.opening import SEED, open_decoder

_MOST_ERROR = 0.01  # of fp16
_PROMPTS = (1, 257, 887)
_SEQUENCES = (1, 2, 3, 8, 16)
_STEPS = 5

Compare = Callable[[NDArray[np.float32], NDArray[np.float32]], float]


def run(_: Day, notes: Notes) -> None:
    """See the module."""
    bundle = Bundle(bundle_folder(SMALL, ("fp32", "fp16")), verify=False)
    slots = max(_SEQUENCES)
    stages: tuple[CausalStage, ...] = ("semantic", "coarse")
    for stage in stages:
        gpu = open_decoder(bundle, stage, "fp16", CudaProvider(), slots=slots)
        cpu = open_decoder(bundle, stage, "fp32", CpuProvider(), slots=slots)
        for tokens in _PROMPTS:
            prompt = _ids(tokens)
            error = _error(*(each.prefill(0, StepInput(prompt, 0)) for each in (gpu, cpu)))
            notes.below(f"{stage}, prompt of {tokens}, error", error, _MOST_ERROR)
        for count in _SEQUENCES:
            error = max(_step_errors(gpu, cpu, count))
            notes.below(f"{stage}, steps of {count} sequences, error", error, _MOST_ERROR)
        for kept in (1, 257):
            error = _kept_error(gpu, cpu, kept)
            notes.below(f"{stage}, after {kept} kept tokens, error", error, _MOST_ERROR)
        plain = open_decoder(
            bundle, stage, "fp16", CudaProvider(), slots=slots, replays_steps=False
        )
        for count in _SEQUENCES:
            difference = max(_step_errors(gpu, plain, count, _difference))
            notes.check(f"{stage}, {count} sequences, replayed against run", difference, 0.0)


def _step_errors(
    found: Decoder, exact: Decoder, count: int, compare: Compare | None = None
) -> list[float]:
    """Errors of some steps after prompts of several lengths."""
    for slot in range(count):
        prompt = _ids((257, 1, 700, 40)[slot % 4])
        for decoder in (found, exact):
            decoder.prefill(slot, StepInput(prompt, 0))
    errors = []
    for step in range(_STEPS):
        ids = _ids(count, seed=step)
        errors.append((compare or _error)(found.decode(ids).copy(), exact.decode(ids)))
    return errors


def _kept_error(found: Decoder, exact: Decoder, kept: int) -> float:
    """Error of a prompt that goes on from kept tokens, after others have stepped."""
    logits = []
    for decoder in (found, exact):
        for slot in range(3):
            decoder.prefill(slot, StepInput(_ids(300 - 10 * slot, seed=slot), 0))
        for step in range(_STEPS):
            decoder.decode(_ids(2, seed=step))
        logits.append(decoder.prefill(2, StepInput(_ids(5, seed=9), kept)).copy())
    return _error(*logits)


def _error(found: NDArray[np.float32], exact: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def _difference(found: NDArray[np.float32], exact: NDArray[np.float32]) -> float:
    return float(np.abs(found - exact).max())


def _ids(count: int, *, seed: int = SEED) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, 10_000, count)
