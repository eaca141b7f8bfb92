"""Chooses tokens from logits by the rules of docs/specification.md, and measures how clearly."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.generation_config import Sampling

Logits = NDArray[np.float32]

_RECORDED = 8  # uniform numbers of a run that a kit shows


@dataclass
class Uniforms:
    """Uniform numbers of one request, in the order in which they are drawn."""

    seed: int
    count: int = 0
    first: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed)))

    def take(self, count: int) -> NDArray[np.float64]:
        """The next numbers from 0 to 1, float64 (count,)."""
        drawn = self._rng.random(count)
        self.first += drawn[: _RECORDED - len(self.first)].tolist()
        self.count += count
        return drawn


@dataclass
class Margin:
    """The closest decision of a stage.

    Greedy: the least difference between the largest logit and the next one. Sampled: the least
    distance of a uniform number from a bound between two tokens.
    """

    closest: float = np.inf

    def add(self, distance: float) -> None:
        """Note the distance of one decision."""
        self.closest = min(self.closest, distance)


def softmax(scores: NDArray[Any]) -> NDArray[Any]:
    """Softmax along the last axis, in the precision of the scores."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares: NDArray[Any] = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def kept_tokens(logits: Logits, sampling: Sampling) -> tuple[NDArray[np.int64], Logits]:
    """Indices that temperature, top_k and top_p leave, in ascending order, and their scores."""
    scores = logits / np.float32(sampling.temperature)
    kept = np.arange(len(scores))
    if 0 < sampling.top_k < len(scores):
        least = np.sort(scores)[::-1][sampling.top_k - 1]
        kept = kept[scores >= least]
    if sampling.top_p < 1:
        kept = _nucleus(kept, scores, sampling.top_p)
    return kept, scores[kept]


def _nucleus(kept: NDArray[np.int64], scores: Logits, top_p: float) -> NDArray[np.int64]:
    ascending = kept[np.argsort(scores[kept], kind="stable")]
    shares = softmax(scores[ascending])  # float32
    total, removed = 0.0, 0
    for share in shares[:-1]:
        total += float(share)
        if np.float32(total) > np.float32(1 - top_p):
            break
        removed += 1
    return np.sort(ascending[removed:])


def token_shares(logits: Logits, sampling: Sampling) -> tuple[NDArray[np.int64], Any]:
    """Indices that can be sampled and their probabilities, float64."""
    kept, scores = kept_tokens(logits, sampling)
    return kept, softmax(scores.astype(np.float64))


def choose_token(logits: Logits, sampling: Sampling, uniforms: Uniforms, margin: Margin) -> int:
    """Index of the next token of the semantic or the coarse stage."""
    if not sampling.do_sample:
        second, first = np.sort(logits)[-2:]
        margin.add(float(first - second))
        return int(np.argmax(logits))
    kept, shares = token_shares(logits, sampling)
    bounds = np.cumsum(shares)
    (drawn,) = uniforms.take(1)
    if len(kept) > 1:
        margin.add(float(np.abs(bounds[:-1] - drawn).min()))
    return int(kept[min(int((bounds <= drawn).sum()), len(kept) - 1)])


def choose_codes(
    logits: Logits, sampling: Sampling, uniforms: Uniforms, margin: Margin
) -> NDArray[np.int64]:
    """One code for each row of logits (rows, codes) of the fine stage."""
    if not sampling.do_sample:
        ordered = np.sort(logits, axis=-1)
        margin.add(float((ordered[:, -1] - ordered[:, -2]).min()))
        best: NDArray[np.int64] = logits.argmax(axis=-1)
        return best
    shares = softmax(logits / np.float32(sampling.temperature))  # float32
    bounds = np.cumsum(shares, axis=-1, dtype=np.float64)
    drawn = uniforms.take(len(logits))[:, None] * bounds[:, -1:]
    margin.add(float(np.abs(bounds[:, :-1] - drawn).min()))
    codes: NDArray[np.int64] = (bounds <= drawn).sum(axis=-1)
    return codes
