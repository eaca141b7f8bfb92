"""Rows that speak together say what each says alone, whatever is beside them."""

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bark_onnx.runtime import Bark, GenerationOptions, OptionsError, Speech, TextError, Voice
from tests.support.messages import assert_one_line

TOKENS = ("semantic_tokens", "coarse_tokens", "fine_tokens")


@dataclass(frozen=True)
class Asked:
    """One row: what to say, with whose voice, from which seed."""

    text: str
    voice: str | Voice | None
    seed: int


def _voice(semantic: int, frames: int) -> Voice:
    rng = np.random.default_rng(semantic)
    fine = rng.integers(0, 1024, (8, frames))
    return Voice(rng.integers(0, 10_000, semantic), fine[:2], fine, name="mine")


ROWS = [
    Asked("Hello, my dog is cute", None, 0),
    Asked("Hello, my dog is cute", None, 1),
    Asked("b c d", "v2/en_speaker_0", 2),
    Asked("x", _voice(40, 60), 3),
    Asked("What a day! " * 10, _voice(400, 600), 4),
    Asked("there", None, 5),
    Asked("Is it?", "v2/en_speaker_0", 0),
]


def _alone(bark: Bark, rows: Sequence[Asked], options: GenerationOptions) -> list[Speech]:
    return [bark.speak(r.text, voice=r.voice, seed=r.seed, options=options) for r in rows]


def _together(bark: Bark, rows: Sequence[Asked], options: GenerationOptions) -> list[Speech]:
    return bark.speak_batch(
        [row.text for row in rows],
        voices=[row.voice for row in rows],
        seed=[row.seed for row in rows],
        options=options,
    )


def _same(ours: Sequence[Speech], theirs: Sequence[Speech]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        assert (one.text, one.voice_name, one.seed) == (other.text, other.voice_name, other.seed)
        for name in TOKENS:
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        np.testing.assert_array_equal(one.samples, other.samples)


SAMPLED = GenerationOptions(semantic_max_new_tokens=30)
GREEDY = GenerationOptions.greedy().replace(semantic_max_new_tokens=30)
Alone = Callable[[str, GenerationOptions], list[Speech]]


@pytest.fixture(scope="module")
def alone(ending_bundle: Callable[[str], Path]) -> Alone:
    """Every row by itself, in a demo whose utterances end at different places."""

    @functools.cache
    def said(attention: str, options: GenerationOptions) -> list[Speech]:
        return _alone(Bark.load(ending_bundle(attention)), ROWS, options)

    return said


def test_the_rows_of_these_tests_differ_in_length(alone: Alone):
    assert len({len(speech.semantic_tokens) for speech in alone("fused", SAMPLED)}) >= 3


@pytest.mark.parametrize("attention", ["fused", "standard"])
@pytest.mark.parametrize("max_batch_size", [1, 2, 3, 8])
def test_a_row_equals_the_same_text_alone(
    ending_bundle: Callable[[str], Path], alone: Alone, attention: str, max_batch_size: int
):
    bark = Bark.load(ending_bundle(attention), max_batch_size=max_batch_size)
    _same(_together(bark, ROWS, SAMPLED), alone(attention, SAMPLED))


@pytest.mark.parametrize("attention", ["fused", "standard"])
def test_a_greedy_row_equals_the_same_text_alone(
    ending_bundle: Callable[[str], Path], alone: Alone, attention: str
):
    bark = Bark.load(ending_bundle(attention), max_batch_size=3)
    _same(_together(bark, ROWS, GREEDY), alone(attention, GREEDY))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_row_does_not_depend_on_its_place(
    ending_bundle: Callable[[str], Path], alone: Alone, seed: int
):
    bark = Bark.load(ending_bundle("fused"), max_batch_size=3)
    order = np.random.default_rng(seed).permutation(len(ROWS))
    together = _together(bark, [ROWS[index] for index in order], SAMPLED)
    _same(together, [alone("fused", SAMPLED)[index] for index in order])


def test_rows_with_the_same_seed_draw_apart_from_each_other(ending: Bark):
    together = ending.speak_batch(["b c d", "b c d", "x"], seed=7, options=SAMPLED)
    _same(together[:1], together[1:2])
    _same(
        together, [ending.speak(text, seed=7, options=SAMPLED) for text in ("b c d", "b c d", "x")]
    )


def test_rows_without_a_seed_have_one_each_that_replays(ending: Bark):
    together = ending.speak_batch(["b c d"] * 3, options=SAMPLED)
    assert len({speech.seed for speech in together}) == 3
    again = [ending.speak("b c d", seed=speech.seed, options=SAMPLED) for speech in together]
    _same(together, again)


def test_one_voice_is_for_all_and_a_list_is_one_each(ending: Bark):
    texts = ["b c d", "x"]
    for voices in ("v2/en_speaker_0", ["v2/en_speaker_0"] * 2):
        together = ending.speak_batch(texts, voices=voices, seed=1, options=SAMPLED)
        assert [speech.voice_name for speech in together] == ["v2/en_speaker_0"] * 2


def test_a_row_that_says_nothing_leaves_the_others_alone(ending: Bark):
    rows = [Asked("Hello, my dog is cute", None, seed) for seed in range(4)]
    options = SAMPLED.replace(min_eos_p=0.01)
    alone = _alone(ending, rows, options)
    lengths = [len(speech.semantic_tokens) for speech in alone]
    assert len(set(lengths)) > 1
    _same(_together(ending, rows, options), alone)


def test_no_texts_are_no_speech(demo: Bark):
    assert demo.speak_batch([]) == []


def test_calls_after_each_other_do_not_disturb_each_other(ending: Bark, alone: Alone):
    expected = alone("fused", SAMPLED)
    for rows in (slice(0, 3), slice(2, 3), slice(1, 4)):
        _same(_together(ending, ROWS[rows], SAMPLED), expected[rows])


@pytest.mark.parametrize("attention", ["fused", "standard"])
def test_low_memory_says_the_same(
    ending_bundle: Callable[[str], Path], alone: Alone, attention: str
):
    bark = Bark.load(ending_bundle(attention), low_memory=True, max_batch_size=3)
    _same(_together(bark, ROWS, SAMPLED), alone(attention, SAMPLED))
    assert bark.describe()["low_memory"] is True


def test_threads_that_share_a_bark_get_their_own_speech(ending: Bark, alone: Alone):
    jobs = [*range(len(ROWS)), *reversed(range(len(ROWS)))]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda index: _alone(ending, [ROWS[index]], SAMPLED)[0], jobs))
    _same(found, [alone("fused", SAMPLED)[index] for index in jobs])


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"texts": "one text"}, TextError, ["single text", "expected a sequence"]),
        ({"texts": ["a", 1]}, TextError, ["int", "expected a string"]),
        ({"texts": ["a", " "]}, TextError, ["empty", "expected at least one word"]),
        ({"texts": ["a", "b"], "voices": [None]}, OptionsError, ["1 voices for 2 texts"]),
        ({"texts": ["a"], "seed": [1, 2]}, OptionsError, ["2 seeds for 1 texts"]),
        ({"texts": ["a"], "seed": -1}, OptionsError, ["seed is -1", "an integer from 0"]),
        ({"texts": ["a"], "seed": 0.5}, OptionsError, ["seed is 0.5", "an integer from 0"]),
        ({"texts": ["a"], "seed": True}, OptionsError, ["seed is True", "an integer from 0"]),
        ({"texts": ["a"], "colour": 1}, OptionsError, ["'colour'", "expected one of"]),
    ],
)
def test_what_cannot_be_said_is_refused_before_anything_is(demo: Bark, arguments, error, words):
    def never(stage: str, done: int, total: int) -> None:
        raise AssertionError("something was said")

    with pytest.raises(error) as caught:
        demo.speak_batch(**arguments, on_progress=never)
    assert_one_line(caught.value, *words)
