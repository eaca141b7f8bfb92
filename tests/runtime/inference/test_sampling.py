"""Sampling against the logits processors of transformers, and the distribution they imply."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from transformers.generation.logits_process import (
    AlternatingCodebooksLogitsProcessor,
    BarkEosPrioritizerLogitsProcessor,
    SuppressTokensLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from bark_onnx.runtime.inference.coarse import generate_coarse
from bark_onnx.runtime.inference.decoders.decoder import StepInput
from bark_onnx.runtime.inference.draws import draw_token
from bark_onnx.runtime.inference.sampling import (
    Sampling,
    sample_token,
    sample_tokens,
    token_distribution,
    token_probability,
)
from bark_onnx.runtime.inference.semantic import generate_semantic
from bark_onnx.runtime.options.generation import ResolvedOptions
from tests.support.sizes import SETTINGS

GREEDY = Sampling(do_sample=False, temperature=1.0, top_k=50, top_p=1.0)

# Values on a coarse grid have many ties, values in between have none.
tied = arrays(np.float32, st.integers(1, 60), elements=st.integers(-3, 3).map(float))
smooth = arrays(np.float32, st.integers(1, 60), elements=st.floats(-15, 15, width=32))
logits_arrays = tied | smooth


def _sampling(temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> Sampling:
    return Sampling(do_sample=True, temperature=temperature, top_k=top_k, top_p=top_p)


def _warped(logits: np.ndarray, sampling: Sampling) -> torch.Tensor:
    """Scores (n,) after the warpers of transformers, in the order of `generate`."""
    scores = torch.from_numpy(logits)[None]
    if sampling.temperature != 1:
        scores = TemperatureLogitsWarper(sampling.temperature)(None, scores)
    if sampling.top_k:
        scores = TopKLogitsWarper(sampling.top_k)(None, scores)
    if sampling.top_p < 1:
        scores = TopPLogitsWarper(sampling.top_p)(None, scores)
    return scores[0]


@settings(max_examples=150, deadline=None)
@given(
    logits=logits_arrays,
    temperature=st.sampled_from([0.1, 0.7, 1.0, 1.7, 5.0]) | st.floats(0.05, 10),
    top_k=st.integers(0, 70),
)
def test_temperature_and_top_k_keep_the_tokens_of_transformers(logits, temperature, top_k):
    sampling = _sampling(temperature, top_k)
    warped = _warped(logits, sampling)
    indices, probabilities = token_distribution(logits, sampling)
    assert indices.tolist() == torch.nonzero(warped > -torch.inf)[:, 0].tolist()
    expected = torch.softmax(warped.double(), -1)[indices]
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)


@settings(max_examples=150, deadline=None)
@given(
    logits=logits_arrays,
    temperature=st.sampled_from([0.1, 0.7, 1.0, 1.7]),
    top_k=st.just(0) | st.integers(1, 70),
    top_p=st.floats(0.01, 0.999),
)
def test_top_p_keeps_the_tokens_of_transformers(logits, temperature, top_k, top_p):
    sampling = _sampling(temperature, top_k, top_p)
    # If a sum equals the threshold to the last bit, rounding decides.
    before = torch.softmax(_warped(logits, _sampling(temperature, top_k)).double(), -1)
    sums = before.sort()[0].cumsum(-1)
    assume((sums - (1 - top_p)).abs().min() > 1e-5)
    scores = _warped(logits, sampling)
    indices, probabilities = token_distribution(logits, sampling)
    expected = torch.softmax(scores.double(), -1).numpy()
    # The sort decides which of several equal scores are dropped, but not how many.
    kept = np.sort(logits[np.flatnonzero(expected)])
    assert np.sort(logits[indices]).tolist() == kept.tolist()
    np.testing.assert_allclose(np.sort(probabilities), np.sort(expected[expected > 0]), atol=1e-6)


@settings(max_examples=200, deadline=None)
@example(logits=np.array([0, -1e-45], np.float32), temperature=10.0, top_k=0, top_p=0.3)
@given(
    logits=logits_arrays,
    temperature=st.floats(0.05, 10),
    top_k=st.integers(0, 70),
    top_p=st.floats(0.001, 1.0),
)
def test_a_distribution_is_ordered_sums_to_one_and_contains_the_best_token(
    logits, temperature, top_k, top_p
):
    indices, probabilities = token_distribution(logits, _sampling(temperature, top_k, top_p))
    assert (np.diff(indices) > 0).all()
    assert probabilities.sum() == pytest.approx(1)
    scores = logits / np.float32(temperature)  # denormal logits that differ may become equal
    assert scores.max() in scores[indices]


def test_top_k_keeps_ties_with_its_last_token():
    logits = np.array([1, 3, 2, 2, 0, 2], np.float32)
    assert token_distribution(logits, _sampling(top_k=2))[0].tolist() == [1, 2, 3, 5]


def test_top_p_drops_a_token_at_exactly_the_threshold_as_transformers_does():
    logits = np.zeros(2, np.float32)
    scores = _warped(logits, _sampling(top_p=0.5))
    assert (
        len(token_distribution(logits, _sampling(top_p=0.5))[0]) == (scores > -torch.inf).sum() == 1
    )


def test_the_smallest_top_p_keeps_the_best_token():
    logits = np.array([1, 3, 2], np.float32)
    assert token_distribution(logits, _sampling(top_p=1e-6))[0].tolist() == [1]


@given(logits=logits_arrays, index=st.integers(0, 59))
def test_token_probability_is_the_softmax(logits, index):
    index %= len(logits)
    expected = torch.softmax(torch.from_numpy(logits), -1)[index]
    assert token_probability(logits, index) == pytest.approx(float(expected), abs=1e-6)


@given(logits=logits_arrays)
def test_greedy_sampling_selects_the_first_of_the_most_probable_tokens(logits):
    rng = np.random.default_rng(0)
    assert sample_token(logits, GREEDY, rng) == int(torch.from_numpy(logits).argmax())
    assert rng.random() == np.random.default_rng(0).random()  # nothing was drawn


def _chi_square(counts: np.ndarray, expected: np.ndarray) -> float:
    """Deviation of counts from expectation, in standard deviations of the chi-square statistic."""
    statistic = ((counts - expected) ** 2 / expected).sum()
    degrees = len(counts) - 1
    return (statistic - degrees) / np.sqrt(2 * degrees)


@pytest.mark.parametrize(
    "sampling",
    [_sampling(), _sampling(0.7), _sampling(1.5, top_k=9), _sampling(0.7, top_k=20, top_p=0.8)],
    ids=["plain", "temperature", "top_k", "all"],
)
def test_sampled_tokens_follow_the_distribution_of_transformers(sampling):
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 1.5, 40).astype(np.float32)
    draws = 10_000
    counts = np.bincount([sample_token(logits, sampling, rng) for _ in range(draws)], minlength=40)
    expected = draws * torch.softmax(_warped(logits, sampling).double(), -1).numpy()
    possible = expected > 0
    assert counts[~possible].sum() == 0
    assert abs(_chi_square(counts[possible], expected[possible])) < 3


def test_sampled_rows_follow_the_softmax_at_a_temperature():
    rng = np.random.default_rng(6)
    logits = rng.normal(0, 1.5, (3, 30)).astype(np.float32)
    draws = 10_000
    tiled = np.repeat(logits, draws, axis=0)
    drawn = sample_tokens(tiled, 0.5, rng.random(len(tiled))).reshape(3, draws)
    for row, indices in zip(logits, drawn, strict=True):
        expected = draws * torch.softmax(torch.from_numpy(row).double() / 0.5, -1).numpy()
        common = expected > 5
        counts = np.bincount(indices, minlength=30)
        pooled = np.append(counts[common], counts[~common].sum())
        assert abs(_chi_square(pooled, np.append(expected[common], expected[~common].sum()))) < 3


@given(logits=arrays(np.float32, (4, 20), elements=st.floats(-15, 15, width=32)))
def test_sampled_rows_are_in_range_and_greedy_at_a_low_temperature(logits):
    drawn = sample_tokens(logits, 0.7, np.random.default_rng(0).random(4))
    assert drawn.shape == (4,)
    assert ((drawn >= 0) & (drawn < 20)).all()
    logits[:, 3] = 20
    assert sample_tokens(logits, 0.01, np.random.default_rng(0).random(4)).tolist() == [3] * 4


def test_the_same_generator_state_samples_the_same_tokens():
    logits = np.random.default_rng(0).normal(0, 1, 500).astype(np.float32)
    runs = [
        [sample_token(logits, _sampling(), rng) for _ in range(50)]
        for rng in (np.random.default_rng(3), np.random.default_rng(3), np.random.default_rng(4))
    ]
    assert runs[0] == runs[1] != runs[2]


SEMANTIC = dataclasses.replace(SETTINGS.semantic, semantic_vocab_size=20, semantic_pad_token=20)


@settings(max_examples=200, deadline=None)
@given(
    logits=arrays(
        np.float32, 26, elements=st.integers(-3, 3).map(float) | st.floats(-9, 9, width=32)
    ),
    min_eos_p=st.none() | st.sampled_from([0.01, 0.05, 0.2, 0.5, 1.0]) | st.floats(1e-6, 1),
)
def test_a_semantic_token_is_that_of_the_processors_of_transformers(logits, min_eos_p):
    scores = torch.from_numpy(logits)[None]
    scores = SuppressTokensLogitsProcessor(list(range(21, 26)))(None, scores)
    eos_probability = float(torch.softmax(scores, -1)[0, 20])
    assume(min_eos_p is None or abs(eos_probability - min_eos_p) > 1e-6)
    scores = BarkEosPrioritizerLogitsProcessor(20, min_eos_p)(None, scores)
    expected = int(scores.argmax())
    options = ResolvedOptions(GREEDY, 1, min_eos_p, GREEDY, GREEDY)
    sequence = generate_semantic(
        StepInput(np.zeros(1, np.int64), 0), SEMANTIC, options, np.random.default_rng(0)
    )
    step = next(sequence)
    with pytest.raises(StopIteration) as end:
        sequence.send(draw_token(logits[:21], step.draw))
    assert end.value.value.tolist() == ([] if expected == 20 else [expected])


def test_min_eos_p_applies_before_the_temperature():
    logits = np.zeros(21, np.float32)
    logits[20] = 1.0  # 0.12 of the probability, and almost all of it at a low temperature
    sampling = _sampling(temperature=10.0)
    options = ResolvedOptions(sampling, 1, 0.11, GREEDY, GREEDY)
    for seed in range(20):
        sequence = generate_semantic(
            StepInput(np.zeros(1, np.int64), 0), SEMANTIC, options, np.random.default_rng(seed)
        )
        step = next(sequence)
        with pytest.raises(StopIteration) as end:
            sequence.send(draw_token(logits, step.draw))
        assert len(end.value.value) == 0


@settings(max_examples=200, deadline=None)
@given(
    logits=arrays(np.float32, 21, elements=st.floats(-9, 9, width=32)),
    temperature=st.sampled_from([0.1, 0.7, 1.0, 2.5]),
    min_eos_p=st.sampled_from([0.01, 0.2, 0.9]),
)
def test_min_eos_p_warped_applies_after_the_temperature_as_in_the_code_of_suno(
    logits, temperature, min_eos_p
):
    # probs = F.softmax(relevant_logits / temp); item_next == EOS or probs[-1] >= min_eos_p
    token_probability = float(torch.softmax(torch.from_numpy(logits) / temperature, -1)[-1])
    assume(abs(token_probability - min_eos_p) > 1e-6)
    sampling = _sampling(temperature=temperature)
    options = ResolvedOptions(sampling, 1, min_eos_p, GREEDY, GREEDY, min_eos_p_warped=True)
    lengths = set()
    for seed in range(5):
        rng = np.random.default_rng(seed)
        sequence = generate_semantic(StepInput(np.zeros(1, np.int64), 0), SEMANTIC, options, rng)
        step = next(sequence)
        with pytest.raises(StopIteration) as end:
            sequence.send(draw_token(logits, step.draw))
        drawn = sample_token(logits, sampling, np.random.default_rng(seed))
        ends = token_probability >= min_eos_p or drawn == 20
        assert end.value.value.tolist() == ([] if ends else [drawn])
        lengths.add(len(end.value.value))
    assert lengths == {0} or token_probability < min_eos_p


@pytest.mark.parametrize("step", range(4))
def test_alternating_codebooks_use_the_first_logits_and_the_rest(step: int):
    logits = np.random.default_rng(step).normal(0, 4, 2_096).astype(np.float32)
    full = torch.zeros((1, 12_096))
    full[0, 10_000:] = torch.from_numpy(logits)
    processor = AlternatingCodebooksLogitsProcessor(3, 10_000, 1024)
    left = processor(torch.zeros((1, 3 + step)), full)
    sequence = generate_coarse(np.arange(10), None, SETTINGS, GREEDY, np.random.default_rng(0))
    step_input = next(sequence)
    for _ in range(step):
        token = draw_token(np.zeros(2_096, np.float32), step_input.draw)
        step_input = sequence.send(token)
    step_input = sequence.send(draw_token(logits, step_input.draw))
    assert step_input.input_ids.tolist() == [int(left.argmax())]
