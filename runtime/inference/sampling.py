"""Samples tokens from logits as transformers' logits processors do, in the same order."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.contract import Stage
from bark_onnx.graphs.errors import EngineError
from bark_onnx.graphs.generation_config import Sampling

Logits = NDArray[np.float32]


def check_finite(values: NDArray[Any], stage: Stage) -> None:
    """Check that logits or samples are finite: one that is not would spoil all that follow.

    Raises:
        EngineError: A value is not finite.
    """
    if not is_finite(values):
        raise EngineError(
            f"The {stage} stage computed values that are not numbers: the weights are damaged, or "
            "too large for this precision; choose another precision, or export the bundle again"
        )


def is_finite(values: NDArray[Any]) -> bool:
    """Whether all values are finite."""
    return bool(np.isfinite(values).all())


def sample_token(logits: Logits, sampling: Sampling, rng: np.random.Generator) -> int:
    """Sample the index of a token from `logits` (n,)."""
    if not sampling.do_sample:
        return int(logits.argmax())
    indices, probabilities = token_distribution(logits, sampling)
    bounds = probabilities.cumsum()
    # Rounding can leave the last bound below a draw close to 1.
    position = min(int(np.searchsorted(bounds, rng.random(), side="right")), len(indices) - 1)
    return int(indices[position])


def token_distribution(
    logits: Logits, sampling: Sampling
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Tokens that can be sampled, with their probabilities.

    Args:
        logits: Logits (n,).
        sampling: Temperature, top_k and top_p, applied in this order as `TemperatureLogitsWarper`,
            `TopKLogitsWarper` and `TopPLogitsWarper` do.

    Returns:
        Indices (m,) in ascending order and their probabilities (m,), which sum to 1.
    """
    scores = logits / np.float32(sampling.temperature)
    indices = np.arange(len(scores))
    if 0 < sampling.top_k < len(scores):
        position = len(scores) - sampling.top_k
        indices = np.flatnonzero(scores >= np.partition(scores, position)[position])
    if sampling.top_p < 1:
        indices = indices[nucleus(scores[indices], sampling.top_p)]
    return indices, softmax(scores[indices].astype(np.float64))


def sample_tokens(
    logits: NDArray[np.float32], temperature: float, uniforms: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Sample one index per row of `logits` (rows, n), by uniform random numbers (rows,)."""
    bounds = softmax(logits / np.float32(temperature)).cumsum(axis=-1, dtype=np.float64)
    draws = uniforms[:, None] * bounds[:, -1:]
    indices: NDArray[np.int64] = (bounds <= draws).sum(axis=-1)
    return indices


def token_probability(logits: Logits, index: int) -> float:
    """Softmax of `logits` (n,) at one index."""
    return float(softmax(logits)[index])


def nucleus(scores: Logits, top_p: float) -> NDArray[np.bool_]:
    """Mask of the smallest set of scores whose probability reaches top_p.

    Summed from the least probable score up, in double precision rounded to single, as torch does.
    """
    order = np.argsort(scores, kind="stable")
    summed = softmax(scores[order]).cumsum(dtype=np.float64).astype(np.float32)
    kept = summed > np.float32(1 - top_p)
    kept[-1] = True
    mask = np.empty(len(scores), np.bool_)
    mask[order] = kept
    return mask


def softmax(scores: NDArray[Any]) -> NDArray[Any]:
    """Softmax along the last axis, in the precision of the scores."""
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    quotient: NDArray[Any] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return quotient
