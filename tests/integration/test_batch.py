"""Speech of a batch equals that of single runs, whatever else is in the batch."""

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bark_onnx.runtime import Bark, GenerationOptions, OptionsError, Speech, TextError, Voice
from tests.support.load import assert_same
from tests.support.messages import assert_one_line


@dataclass(frozen=True)
class Case:
    """Text, voice and seed of one sequence."""

    text: str
    voice: str | Voice | None
    seed: int


def _voice(semantic: int, frames: int) -> Voice:
    rng = np.random.default_rng(semantic)
    fine = rng.integers(0, 1024, (8, frames))
    return Voice(rng.integers(0, 10_000, semantic), fine[:2], fine, name="mine")


CASES = [
    Case("Hello, my dog is cute", None, 0),
    Case("Hello, my dog is cute", None, 1),
    Case("b c d", "v2/en_speaker_0", 2),
    Case("x", _voice(40, 60), 3),
    Case("What a day! " * 10, _voice(400, 600), 4),
    Case("there", None, 5),
    Case("Is it?", "v2/en_speaker_0", 0),
]


def _alone(bark: Bark, cases: Sequence[Case], options: GenerationOptions) -> list[Speech]:
    return [bark.speak(c.text, voice=c.voice, seed=c.seed, options=options) for c in cases]


def _batch(bark: Bark, cases: Sequence[Case], options: GenerationOptions) -> list[Speech]:
    return bark.speak_batch(
        [case.text for case in cases],
        voices=[case.voice for case in cases],
        seed=[case.seed for case in cases],
        options=options,
    )


def _same(found: Sequence[Speech], expected: Sequence[Speech]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other)


SAMPLED = GenerationOptions(semantic_max_new_tokens=30)
GREEDY = GenerationOptions.greedy().replace(semantic_max_new_tokens=30)
Alone = Callable[[str, GenerationOptions], list[Speech]]


@pytest.fixture(scope="module")
def alone(ending_bundle: Callable[[str], Path]) -> Alone:
    """Speech of every case by itself, with a checkpoint whose utterances differ in length."""

    @functools.cache
    def speak(attention: str, options: GenerationOptions) -> list[Speech]:
        return _alone(Bark.load(ending_bundle(attention)), CASES, options)

    return speak


def test_the_cases_differ_in_length(alone: Alone):
    assert len({len(speech.semantic_tokens) for speech in alone("fused", SAMPLED)}) >= 3


@pytest.mark.parametrize("attention", ["fused", "standard"])
@pytest.mark.parametrize("max_batch_size", [1, 2, 3, 8])
def test_a_batch_equals_single_runs(
    ending_bundle: Callable[[str], Path], alone: Alone, attention: str, max_batch_size: int
):
    bark = Bark.load(ending_bundle(attention), max_batch_size=max_batch_size)
    _same(_batch(bark, CASES, SAMPLED), alone(attention, SAMPLED))


@pytest.mark.parametrize("attention", ["fused", "standard"])
def test_a_greedy_batch_equals_single_runs(
    ending_bundle: Callable[[str], Path], alone: Alone, attention: str
):
    bark = Bark.load(ending_bundle(attention), max_batch_size=3)
    _same(_batch(bark, CASES, GREEDY), alone(attention, GREEDY))


@pytest.mark.parametrize("seed", [0, 1])
def test_speech_does_not_depend_on_the_order_of_the_batch(
    ending_bundle: Callable[[str], Path], alone: Alone, seed: int
):
    bark = Bark.load(ending_bundle("fused"), max_batch_size=3)
    order = np.random.default_rng(seed).permutation(len(CASES))
    found = _batch(bark, [CASES[index] for index in order], SAMPLED)
    _same(found, [alone("fused", SAMPLED)[index] for index in order])


def test_equal_seeds_of_a_batch_are_independent(ending: Bark):
    found = ending.speak_batch(["b c d", "b c d", "x"], seed=7, options=SAMPLED)
    _same(found[:1], found[1:2])
    _same(found, [ending.speak(text, seed=7, options=SAMPLED) for text in ("b c d", "b c d", "x")])


def test_each_text_without_a_seed_has_a_seed_that_reproduces_it(ending: Bark):
    found = ending.speak_batch(["b c d"] * 3, options=SAMPLED)
    assert len({speech.seed for speech in found}) == 3
    again = [ending.speak("b c d", seed=speech.seed, options=SAMPLED) for speech in found]
    _same(found, again)


def test_voices_is_one_voice_for_all_texts_or_one_each(ending: Bark):
    texts = ["b c d", "x"]
    for voices in ("v2/en_speaker_0", ["v2/en_speaker_0"] * 2):
        found = ending.speak_batch(texts, voices=voices, seed=1, options=SAMPLED)
        assert [speech.voice_name for speech in found] == ["v2/en_speaker_0"] * 2


def test_an_empty_utterance_does_not_disturb_the_batch(ending: Bark):
    cases = [Case("Hello, my dog is cute", None, seed) for seed in range(4)]
    options = SAMPLED.replace(min_eos_p=0.01)
    alone = _alone(ending, cases, options)
    lengths = [len(speech.semantic_tokens) for speech in alone]
    assert len(set(lengths)) > 1
    _same(_batch(ending, cases, options), alone)


def test_an_empty_batch_returns_an_empty_list(random_bark: Bark):
    assert random_bark.speak_batch([]) == []


def test_successive_calls_do_not_disturb_each_other(ending: Bark, alone: Alone):
    expected = alone("fused", SAMPLED)
    for part in (slice(0, 3), slice(2, 3), slice(1, 4)):
        _same(_batch(ending, CASES[part], SAMPLED), expected[part])


@pytest.mark.parametrize("attention", ["fused", "standard"])
def test_low_memory_does_not_change_speech(
    ending_bundle: Callable[[str], Path], alone: Alone, attention: str
):
    bark = Bark.load(ending_bundle(attention), low_memory=True, max_batch_size=3)
    _same(_batch(bark, CASES, SAMPLED), alone(attention, SAMPLED))
    assert bark.describe().low_memory is True


def test_each_thread_that_shares_a_bark_gets_its_own_speech(ending: Bark, alone: Alone):
    indices = [*range(len(CASES)), *reversed(range(len(CASES)))]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda index: _alone(ending, [CASES[index]], SAMPLED)[0], indices))
    _same(found, [alone("fused", SAMPLED)[index] for index in indices])


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"texts": "one text"}, TextError, ["single text", "expected a sequence"]),
        ({"texts": ["a", 1]}, TextError, ["text is 1", "expected a string"]),
        ({"texts": ["a", " "]}, TextError, ["empty", "expected at least one word"]),
        ({"texts": ["a", "b"], "voices": [None]}, OptionsError, ["1 voices for 2 texts"]),
        ({"texts": ["a"], "seed": [1, 2]}, OptionsError, ["2 seeds for 1 texts"]),
        ({"texts": ["a"], "seed": -1}, OptionsError, ["seed is -1", "an integer from 0"]),
        ({"texts": ["a"], "seed": 0.5}, OptionsError, ["seed is 0.5", "an integer from 0"]),
        ({"texts": ["a"], "seed": True}, OptionsError, ["seed is True", "an integer from 0"]),
        ({"texts": ["a"], "colour": 1}, OptionsError, ["'colour'", "expected one of"]),
    ],
)
def test_speak_batch_refuses_invalid_requests_before_it_generates(
    random_bark: Bark, arguments, error, words
):
    def never(stage: str, done: int, total: int) -> None:
        raise AssertionError("a stage has run")

    with pytest.raises(error) as caught:
        random_bark.speak_batch(**arguments, on_progress=never)
    assert_one_line(caught.value, *words)
