"""Sentences that the demo is trained and judged on."""

import os
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bark_onnx.export.demo import sentences
from bark_onnx.export.demo.numbers import ordinal_digits, spell_number, spell_ordinal
from bark_onnx.export.demo.sentences import (
    MAX_WORDS,
    held_out_sentences,
    make_sentences,
)
from bark_onnx.export.demo.words import (
    FRAMES,
    HELD_OUT_FRAMES,
    categories,
    known_words,
    spellings,
    words_of,
)

FIRST_TRIES = """
Hello! The weather is warm and sunny today. It is a quarter past seven. Turn left at the next
street. How are you? My name is Suno. And, uh, and I like pizza. Good morning! What time is it?
Thank you, I'm fine. Once upon a time there was a little princess who lived in a castle near the
forest. One day she met a frog. "Who are you?" asked the princess. The frog smiled and said: "I am
a prince, and I live in the lake." They lived happily ever after. We'll see, but I don't think
it's true. You can't turn off the light in the kitchen. Set the alarm for seven thirty on Monday.
It will rain tomorrow, so take an umbrella. I love you.
""".strip()


@pytest.fixture(scope="module")
def training() -> list[str]:
    return make_sentences(3000, seed=0, exclude=frozenset(held_out_sentences()))


@pytest.fixture(scope="module")
def held_out() -> list[str]:
    return held_out_sentences()


def skeleton(frame: str) -> str:
    """The frame with every slot alike and its alternatives left out."""
    while re.search(r"\{[^{}]+\}", frame):
        frame = re.sub(r"\{[^{}]+\}", "_", frame)
    return frame.lower()


def test_a_thousand_words_are_known() -> None:
    assert len(known_words()) >= 1000
    assert list(known_words()) == sorted({word.lower() for word in known_words()})


@pytest.mark.parametrize("word", sorted(set(words_of(FIRST_TRIES))))
def test_words_of_first_tries_are_known(word: str) -> None:
    assert word in known_words()


def test_categories_are_sorted_and_describe_themselves() -> None:
    folder = Path(sentences.__file__).parent / "categories"
    for name, entries in categories().items():
        if name not in (FRAMES, HELD_OUT_FRAMES):
            assert list(entries) == sorted(set(entries)), name
        first = (folder / f"{name}.txt").read_text("utf-8").splitlines()[0]
        assert re.fullmatch(r"# .+[.:].*", first), name


def test_every_slot_has_a_category() -> None:
    slots = {
        slot
        for entries in categories().values()
        for entry in entries
        for slot in re.findall(r"\{([a-z_]+)\}", entry)
    }
    assert sorted(slots - {*categories(), *sentences._DRAWN, "date"}) == []


def test_frames_use_only_known_words() -> None:
    frames = [*categories()[FRAMES], *categories()[HELD_OUT_FRAMES]]
    assert sorted({word for frame in frames for word in words_of(frame)} - set(known_words())) == []


def test_there_are_many_frames() -> None:
    assert len(categories()[FRAMES]) >= 120
    assert len(categories()[HELD_OUT_FRAMES]) >= 40


def test_held_out_frames_are_disjoint_from_those_of_training() -> None:
    trained = {skeleton(frame) for frame in categories()[FRAMES]}
    judged = {skeleton(frame) for frame in categories()[HELD_OUT_FRAMES]}
    assert len(judged) == len(categories()[HELD_OUT_FRAMES])
    assert trained.isdisjoint(judged)


def test_words_of_sentences_are_known(training: list[str], held_out: list[str]) -> None:
    made = {word for text in [*training, *held_out] for word in words_of(text)}
    assert sorted(made - set(known_words())) == []


def test_sentences_are_distinct(training: list[str], held_out: list[str]) -> None:
    assert len(set(training)) == len(training) == 3000
    assert len(set(held_out)) == len(held_out) == 200
    assert set(training).isdisjoint(held_out)


def test_excluded_sentences_are_not_made(training: list[str]) -> None:
    excluded = set(training[::2])
    assert excluded.isdisjoint(make_sentences(3000, seed=0, exclude=excluded))


def test_every_word_occurs_often(training: list[str]) -> None:
    """At 20 times in 12,000 sentences, five times in 3,000."""
    counts = Counter(word for text in training for word in words_of(text))
    homographs = set(categories()["homograph"])
    assert [word for word in known_words() if word not in homographs and counts[word] < 4] == []
    assert sum(counts[word] >= 5 for word in known_words()) > 0.98 * len(known_words())
    assert homographs <= set(counts)


def test_every_word_is_in_a_frame() -> None:
    """A word that only random sequences had would never be learnt in its place."""
    reached, found = {FRAMES, "saying", "word_pair", "opening"}, set()
    rng = random.Random(0)
    said = {
        word
        for draw in sentences._DRAWN.values()
        for _ in range(1000)
        for word in words_of(draw(rng))
    }
    while reached - found:
        category = min(reached - found)
        found.add(category)
        entries = categories()[category]
        said.update(word for entry in entries for word in words_of(entry))
        reached |= {*re.findall(r"\{([a-z_]+)\}", " ".join(entries))} & set(categories())
    days = {word for day in range(1, 32) for word in words_of(spell_ordinal(day))}
    assert (
        set(known_words()) - said - days - set(words_of(" ".join(categories()["month"]))) == set()
    )


def test_a_seed_gives_the_same_sentences_in_another_process() -> None:
    program = (
        "from bark_onnx.export.demo.sentences import make_sentences\n"
        "print('\\n'.join(make_sentences(300, 7)))"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout.splitlines()
        for seed in ("1", "2")
    ]
    assert printed[0] == printed[1] == make_sentences(300, 7)
    assert make_sentences(300, 8) != make_sentences(300, 7)


def test_sentences_are_short_and_punctuated(training: list[str], held_out: list[str]) -> None:
    lengths = sorted(len(text.split()) for text in training)
    assert lengths[0] == 1
    assert lengths[-1] <= MAX_WORDS
    assert sum(4 <= length <= 12 for length in lengths) > 0.7 * len(lengths)
    for text in [*training, *held_out]:
        assert re.fullmatch(r'["A-Z0-9$].*[.!?]"?', text), text
        assert not re.search(r"[{}|_]|  | [,.!?]|\b[Aa] [aeio]", text), text


def test_numbers_are_sometimes_digits(training: list[str]) -> None:
    digits = sum(bool(re.search(r"\d", text)) for text in training)
    assert 0.01 < digits / len(training) < 0.1
    assert any(re.search(r"\d:\d\d", text) for text in training)


def test_names_and_days_are_capitalized(training: list[str]) -> None:
    assert spellings()["monday"] == "Monday"
    assert spellings()["i'm"] == "I'm"
    assert spellings()["new"] == "new"
    capitalized = {word for word, spelling in spellings().items() if spelling != word}
    lower = {word for text in training for word in re.findall(r"\b[a-z][a-z']*", text)}
    assert capitalized.isdisjoint(lower - {"t", "s"})


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (40, "forty"),
        (99, "ninety-nine"),
        (100, "one hundred"),
        (342, "three hundred forty-two"),
        (905, "nine hundred five"),
    ],
)
def test_numbers_are_spelt(number: int, words: str) -> None:
    assert spell_number(number) == words


@pytest.mark.parametrize(
    ("number", "words", "digits"),
    [
        (1, "first", "1st"),
        (8, "eighth", "8th"),
        (12, "twelfth", "12th"),
        (13, "thirteenth", "13th"),
        (20, "twentieth", "20th"),
        (22, "twenty-second", "22nd"),
        (31, "thirty-first", "31st"),
    ],
)
def test_ordinals_are_spelt(number: int, words: str, digits: str) -> None:
    assert spell_ordinal(number) == words
    assert ordinal_digits(number) == digits
