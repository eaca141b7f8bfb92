"""Draws from the top logits, against draws from all logits, which take one sequence at a time."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bark_onnx.graphs.errors import EngineError
from bark_onnx.graphs.generation_config import Sampling
from bark_onnx.runtime.inference.draws import (
    Draw,
    EndRule,
    StepScores,
    TopLogits,
    answer_steps,
    check_drawn,
    draw_token,
    draw_tokens,
)

K, COUNT = 64, 300
GREEDY = Sampling(False, 1.0, 0, 1.0)
USUAL = Sampling(True, 0.7, 50, 1.0)


def _top(logits: np.ndarray, groups: Sequence[range], order: np.random.Generator) -> TopLogits:
    """As the graph computes them; which of equal logits come first is left to chance."""
    ids = []
    for row, group in zip(logits, groups, strict=True):
        shuffled = order.permutation(np.array(group))
        ids.append(shuffled[np.argsort(-row[shuffled], kind="stable")][:K])
    chosen = np.array(ids, np.int32)
    largest = logits.max(1)
    with np.errstate(invalid="ignore"):
        summed = np.log(np.exp(logits - largest[:, None]).sum(1, dtype=np.float32)) + largest
    summed += np.where(np.isfinite(logits).all(1), 0, np.nan).astype(np.float32)
    return TopLogits(np.take_along_axis(logits, chosen, 1), chosen, summed, logits[:, -1])


def _random_logits(rng: np.random.Generator, kind: int) -> np.ndarray:
    """Logits of one sequence: smooth, rounded so that many are equal, few different, or sharp."""
    logits = rng.normal(0, rng.choice([0.1, 3, 30]), COUNT)
    if kind == 1:
        logits = np.round(logits * 4) / 4
    elif kind == 2:
        logits = rng.integers(0, 3, COUNT).astype(float)
    elif kind == 3:
        logits[rng.integers(COUNT)] += 40
    return logits.astype(np.float32)


def _random_draw(rng: np.random.Generator, seed: int, *, has_groups: bool) -> Draw:
    sampling = Sampling(
        bool(rng.random() < 0.85),
        float(rng.choice([0.05, 0.7, 1.0, 2.5])),
        int(rng.choice([0, 1, 2, 7, 50, 63, 64, 65, 1000])),
        float(rng.choice([1.0, 1.0, 0.9, 0.3, 1e-6])),
    )
    end = None
    if not has_groups and rng.random() < 0.6:
        least = float(rng.choice([1e-6, 1 / COUNT, 0.01, 0.2, 0.9]))
        end = EndRule(COUNT - 1, least, bool(rng.random() < 0.5))
    own = np.random.default_rng(seed)
    if not has_groups:
        return Draw(sampling, own, end=end)
    size = COUNT // 2
    return Draw(sampling, own, stop=size) if rng.random() < 0.5 else Draw(sampling, own, first=size)


def _group(draw: Draw) -> range:
    return range(draw.first, COUNT if draw.stop is None else draw.stop)


@pytest.mark.parametrize("has_groups", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_tokens_and_random_numbers_are_those_of_draws_from_all_logits(seed: int, has_groups: bool):
    """1700 sequences in 200 steps, with ties and all options."""
    rng = np.random.default_rng(seed)
    used_whole = total = 0
    for step in range(200):
        count = int(rng.integers(1, 17))
        logits = np.stack([_random_logits(rng, int(rng.integers(4))) for _ in range(count)])
        kind = int(rng.integers(1 << 30))
        draws, alone = (
            [
                _random_draw(np.random.default_rng(kind + row), row, has_groups=has_groups)
                for row in range(count)
            ]
            for _ in range(2)
        )
        asked: list[int] = []

        def whole(logits: np.ndarray = logits, asked: list[int] = asked) -> Any:
            asked.append(1)
            return logits

        top = _top(logits, [_group(draw) for draw in draws], rng)
        found = draw_tokens(StepScores(whole, top), draws)
        expected = [draw_token(row, draw) for row, draw in zip(logits, alone, strict=True)]
        assert found == expected, step
        # The generators have been asked equally often.
        assert [draw.rng.random() for draw in draws] == [draw.rng.random() for draw in alone]
        used_whole += len(asked)
        total += 1
    assert 0 < used_whole < total  # both ways were taken


def test_usual_draws_do_not_ask_for_all_logits():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (16, COUNT)).astype(np.float32)

    def whole() -> Any:
        raise AssertionError("not needed")

    # Without sampling, a warped rule reads more than the largest logit.
    rules = [None, EndRule(COUNT - 1, 0.5, False), EndRule(COUNT - 1, 0.5, True)]
    draws = [
        Draw(
            USUAL if row % 3 == 2 or row % 5 else GREEDY,
            np.random.default_rng(row),
            end=rules[row % 3],
        )
        for row in range(16)
    ]
    scores = StepScores(whole, _top(logits, [range(COUNT)] * 16, rng))
    expected = [
        draw_token(row, Draw(draw.sampling, np.random.default_rng(index), end=draw.end))
        for index, (row, draw) in enumerate(zip(logits, draws, strict=True))
    ]
    assert draw_tokens(scores, draws) == expected


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(True, 1.0, 0, 1.0),
        Sampling(True, 1.0, K + 1, 1.0),
        Sampling(True, 1.0, 0, 0.5),
        Sampling(True, 1.0, COUNT, 1.0),
    ],
)
def test_a_larger_or_missing_top_k_takes_all_logits(sampling: Sampling):
    logits = np.random.default_rng(0).normal(0, 1, (1, COUNT)).astype(np.float32)
    asked: list[int] = []

    def whole() -> Any:
        asked.append(1)
        return logits

    scores = StepScores(whole, _top(logits, [range(COUNT)], np.random.default_rng(0)))
    (found,) = draw_tokens(scores, [Draw(sampling, np.random.default_rng(1))])
    assert found == draw_token(logits[0], Draw(sampling, np.random.default_rng(1)))
    assert asked


def test_top_logits_of_another_codebook_are_not_drawn_from():
    logits = np.random.default_rng(0).normal(0, 1, (1, COUNT)).astype(np.float32)
    scores = StepScores(lambda: logits, _top(logits, [range(150)], np.random.default_rng(0)))
    draw = Draw(GREEDY, np.random.default_rng(0), first=150)
    assert draw_tokens(scores, [draw]) == [150 + int(logits[0, 150:].argmax())]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_sequence_whose_logits_are_no_numbers_fails_alone(value: float):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1, (3, COUNT)).astype(np.float32)
    logits[1, 290] = value
    for top in (_top(logits, [range(COUNT)] * 3, rng), None):
        draws = [Draw(USUAL, np.random.default_rng(row)) for row in range(3)]
        first, second, third = draw_tokens(StepScores(lambda: logits, top), draws)
        check_drawn(first, "semantic")
        check_drawn(third, "semantic")
        with pytest.raises(EngineError, match="semantic stage computed values that are not numb"):
            check_drawn(second, "semantic")


def test_sequences_without_a_draw_receive_their_logits():
    logits = np.random.default_rng(0).normal(0, 1, (2, COUNT)).astype(np.float32)
    draw = Draw(GREEDY, np.random.default_rng(0))
    first, second = answer_steps(StepScores(lambda: logits), [None, draw])
    np.testing.assert_array_equal(first, logits[0])
    assert second == int(logits[1].argmax())


@settings(max_examples=200, deadline=None)
@given(distance=st.floats(-3e-4, 3e-4), scale=st.sampled_from([1.0, 10.0, 300.0]))
@example(distance=0.0, scale=300.0)
def test_the_end_token_ends_at_the_same_probability_however_it_is_computed(
    distance: float, scale: float
):
    rng = np.random.default_rng(1)
    logits = (rng.normal(0, 0.01, (1, COUNT)) + scale).astype(np.float32)
    exact = np.exp(logits[0] - logits.max(), dtype=np.float32)
    least = float(exact[-1] / exact.sum()) * (1 + distance)
    rule = EndRule(COUNT - 1, least, is_warped=False)
    scores = StepScores(lambda: logits, _top(logits, [range(COUNT)], rng))
    (found,) = draw_tokens(scores, [Draw(USUAL, np.random.default_rng(2), end=rule)])
    assert found == draw_token(logits[0], Draw(USUAL, np.random.default_rng(2), end=rule))
