"""Draws the next token of every sequence of a step, from a few of its logits where they suffice.

A sequence describes its draw and receives the token. Graphs return their largest logits beside all
of them; both give the same token for the same uniform number, to the bit.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.contract import Stage
from bark_onnx.graphs.drawn_codes import NOT_FINITE
from bark_onnx.graphs.generation_config import Sampling
from bark_onnx.runtime.inference.sampling import (
    Logits,
    check_finite,
    is_finite,
    nucleus,
    sample_token,
    softmax,
    token_distribution,
    token_probability,
)

_UNDECIDED = -2
_NO_STOP = np.iinfo(np.int32).max

# Distance of the end token's probability from the least one, relative, within which rounding may
# decide, and what each unit of log_sum_exp adds to it.
_PROBABILITY_ERROR, _LOGARITHM_ERROR = 1e-4, 1e-6


@dataclass(frozen=True)
class EndRule:
    """When the end token ends an utterance without a draw."""

    index: int  # of its logit, the last one
    min_probability: float
    is_warped: bool  # compares after temperature, top_k and top_p, and not before


@dataclass(frozen=True)
class Draw:
    """How a sequence draws its next token."""

    sampling: Sampling
    rng: np.random.Generator
    first: int = 0  # index of the first logit that can follow
    stop: int | None = None  # index behind the last one; None: all from `first` on
    end: EndRule | None = None


@dataclass(frozen=True)
class TopLogits:
    """The largest logits of each sequence, as the graph returns them."""

    logits: NDArray[np.float32]  # (sequences, k), in descending order
    ids: NDArray[np.int32]  # (sequences, k), their indices
    log_sum_exp: NDArray[np.float32]  # (sequences,), of all logits; not finite if one is not
    end_logit: NDArray[np.float32] | None = None  # (sequences,), of the last id


def top_logits(arrays: Iterable[NDArray[Any]]) -> TopLogits | None:
    """Top logits from arrays in the order of `TOP_OUTPUTS`; None from none."""
    found = list(arrays)
    return TopLogits(*found) if found else None


@dataclass(frozen=True)
class StepScores:
    """What a run knows of the next tokens. Valid until the next run."""

    whole: Callable[[], NDArray[np.float32]]  # all logits (sequences, n); copied from a GPU
    top: TopLogits | None = None  # None if the graph has none


def check_drawn(token: int, stage: Stage) -> None:
    """Check that a token could be drawn.

    Raises:
        EngineError: A logit was not finite.
    """
    if token == NOT_FINITE:
        check_finite(np.array([np.nan]), stage)


def answer_steps(scores: StepScores, draws: Sequence[Draw | None]) -> list[Any]:
    """What each sequence of a run receives: its next token, or its logits where it draws none."""
    chosen = [draw for draw in draws if draw is not None]
    if len(chosen) == len(draws):
        return draw_tokens(scores, chosen)
    whole = scores.whole()
    return [
        logits if draw is None else draw_token(logits, draw)
        for logits, draw in zip(whole, draws, strict=True)
    ]


def draw_token(logits: Logits, draw: Draw) -> int:
    """Draw from all logits (n,). The index of the token, or one that `check_drawn` refuses."""
    if not is_finite(logits):
        return NOT_FINITE
    if draw.end is not None and _ends(logits, draw, draw.end):
        return draw.end.index
    return draw.first + sample_token(logits[draw.first : draw.stop], draw.sampling, draw.rng)


def draw_tokens(scores: StepScores, draws: Sequence[Draw]) -> list[int]:
    """Draw a token of each sequence of a run, all at once; see `draw_token`.

    All logits are read only if the largest ones leave a token undecided: top_k is larger or
    missing, the tokens that it ties with are not all there, or rounding could decide.
    """
    tokens = np.full(len(draws), _UNDECIDED)
    if scores.top is not None:
        _draw_from_top(scores.top, draws, tokens)
    undecided = np.flatnonzero(tokens == _UNDECIDED)
    if len(undecided):
        whole = scores.whole()
        for row in undecided.tolist():
            tokens[row] = draw_token(whole[row], draws[row])
    drawn: list[int] = tokens.tolist()
    return drawn


def _ends(logits: Logits, draw: Draw, rule: EndRule) -> bool:
    if not rule.is_warped:
        # `BarkEosPrioritizerLogitsProcessor` reads the logits before the temperature is applied.
        return token_probability(logits, rule.index) > rule.min_probability
    indices, probabilities = token_distribution(logits, draw.sampling)
    return bool(indices[-1] == rule.index and probabilities[-1] >= rule.min_probability)


def _draw_from_top(top: TopLogits, draws: Sequence[Draw], tokens: NDArray[np.int64]) -> None:
    """Set the tokens that the largest logits decide."""
    temperatures = [draw.sampling.temperature if draw.sampling.do_sample else 1.0 for draw in draws]
    scores = top.logits / np.array(temperatures, np.float32)[:, None]
    # 1. Sequences whose top_k tokens are all there.
    usable, least = _usable(top, scores, draws)
    finite = np.isfinite(top.log_sum_exp)
    tokens[~finite] = NOT_FINITE
    for row in np.flatnonzero(usable & finite).tolist():
        if not _needs_no_more(top, row, draws[row], tokens):
            usable[row] = False
    rows = np.flatnonzero(usable & finite)
    if not len(rows):
        return
    # 2. Their tokens in ascending order, as in the logits.
    order = top.ids[rows].argsort(1)
    ids, scores = top.ids[rows[:, None], order], scores[rows[:, None], order]
    kept = scores >= least[rows, None]
    chosen = [draws[row] for row in rows.tolist()]
    for row, draw in enumerate(chosen):
        if draw.sampling.do_sample and draw.sampling.top_p < 1:
            kept[row, kept[row]] = nucleus(scores[row, kept[row]], draw.sampling.top_p)
    # 3. The draw, of sequences with equal numbers of tokens at once: a sum of more terms, even of
    # zeros, would be rounded in another order.
    sizes = kept.sum(1)
    for size in set(sizes.tolist()):
        group = np.flatnonzero(sizes == size)
        mask = kept[group]
        tokens[rows[group]] = _draw_group(
            ids[group][mask].reshape(-1, size),
            scores[group][mask].reshape(-1, size),
            [chosen[row] for row in group],
        )


def _usable(
    top: TopLogits, scores: NDArray[np.float32], draws: Sequence[Draw]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Whether top_k tokens, and all that tie with the last of them, are listed; and its score."""
    counts = np.array([d.sampling.top_k if d.sampling.do_sample else 1 for d in draws])
    firsts = np.array([draw.first for draw in draws])
    stops = np.array([_NO_STOP if draw.stop is None else draw.stop for draw in draws])
    usable = (counts > 0) & (counts <= scores.shape[1])
    usable &= (top.ids.min(1) >= firsts) & (top.ids.max(1) < stops)
    least = scores[np.arange(len(draws)), np.where(usable, counts, 1) - 1]
    return usable & (scores[:, -1] < least), least


def _needs_no_more(top: TopLogits, row: int, draw: Draw, tokens: NDArray[np.int64]) -> bool:
    """Apply the end rule where it precedes the draw. Whether the listed tokens decide the rest."""
    rule = draw.end
    if rule is None:
        return True
    if rule.is_warped:
        return draw.sampling.do_sample  # otherwise it reads more tokens than the draw
    if top.end_logit is None:
        return False
    logarithm = float(top.log_sum_exp[row])
    probability = float(np.exp(float(top.end_logit[row]) - logarithm))
    error = probability * (_PROBABILITY_ERROR + _LOGARITHM_ERROR * abs(logarithm))
    if abs(probability - rule.min_probability) <= error:
        return False  # rounding decides
    if probability > rule.min_probability:
        tokens[row] = rule.index
        return False
    return True


def _draw_group(
    ids: NDArray[np.int32], scores: NDArray[np.float32], draws: Sequence[Draw]
) -> NDArray[np.int64]:
    """Tokens of rows (rows, m) in ascending order of their ids."""
    probabilities = softmax(scores.astype(np.float64))
    ended = [
        draw.end is not None
        and draw.end.is_warped
        and row_ids[-1] == draw.end.index
        and row[-1] >= draw.end.min_probability
        for draw, row_ids, row in zip(draws, ids, probabilities, strict=True)
    ]
    uniforms = np.array(
        [
            0.0 if has_ended or not draw.sampling.do_sample else draw.rng.random()
            for draw, has_ended in zip(draws, ended, strict=True)
        ]
    )
    positions = (probabilities.cumsum(1) <= uniforms[:, None]).sum(1)
    # Rounding can leave the last bound below a draw close to 1.
    positions = np.minimum(positions, ids.shape[1] - 1)
    positions[ended] = ids.shape[1] - 1
    tokens: NDArray[np.int64] = ids[np.arange(len(ids)), positions].astype(np.int64)
    return tokens
