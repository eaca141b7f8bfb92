"""Sentences of known words, on which the demo is trained, and others on which it is judged.

A frame is a sentence with slots: `{thing}` stands for an entry of the category of that name, or
for a number; `{a|b}` for one of its alternatives, which may have slots.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Container

from bark_onnx.export.demo.numbers import (
    draw_amount,
    draw_count,
    draw_digits,
    draw_few,
    draw_number,
    draw_ordinal,
    draw_price,
    draw_time,
)
from bark_onnx.export.demo.words import (
    FRAMES,
    HELD_OUT_FRAMES,
    categories,
    spellings,
    words_of,
    words_of_any_context,
)

MAX_WORDS = 16  # of a text

_FRAME_SHARE = 0.65
_SALAD_SHARE = 0.20
_SHORT_SHARE = 0.05  # the rest: several short sentences in a row
_OPENING_SHARE = 0.08  # of sentences from frames
_DRAWN = {
    "amount": draw_amount,
    "count": draw_count,
    "digits": draw_digits,
    "few": draw_few,
    "number": draw_number,
    "ordinal": draw_ordinal,
    "price": draw_price,
    "time": draw_time,
}
_CANDIDATES = 3  # for a slot: the one that was used least is taken
_SALAD_CANDIDATES = 8  # for a word of a random sequence

_AN = re.compile(r"\b([Aa])(?= (?:[aeio]|hour|honest|un|8|11\b|18\b))")
_START = re.compile(r"(?:^|[.!?] )\W*[a-z]")
_SPACES = re.compile(r"\s+")
_QUOTED_STATEMENT = re.compile(r"\.(?=\" (?:said|asked))")
_SPACE_BEFORE = re.compile(r" (?=[.,!?])")


class SentenceWriter:
    """Fills frames. Every choice prefers what was used least, so that no word stays rare.

    Args:
        rng: The source of every choice.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._used: Counter[tuple[str, str]] = Counter()  # (category, entry)
        self._recent: set[str] = set()  # entries of the sentence that is being made
        self._words: Counter[str] = Counter()  # of the texts that were accepted

    def from_frames(self, category: str) -> str:
        """A sentence of one of the category's frames."""
        self._recent.clear()
        return _finish(self._expand(self._pick(category)))

    def opened(self, sentence: str) -> str:
        """The sentence behind an exclamation or an adverb: "Well, the train is late."."""
        first, _, rest = sentence.partition(" ")
        if not first.isalpha() or first in ("Please", "No", "Yes") or ", please" in rest:
            return sentence
        first = spellings().get(first.lower(), first)
        return _finish(f"{self._expand(self._pick('opening'))}, {first} {rest}")

    def salad(self) -> str:
        """A random sequence of 3 to 9 known words, with punctuation now and then."""
        rng = self._rng
        length = rng.randint(3, 9)
        words = [self._rare_word() for _ in range(length)]
        if rng.random() < 0.08:
            words[rng.randrange(length)] = draw_number(rng)
        for index in range(length - 1):
            mark = rng.random()
            words[index] += "," if mark < 0.08 else rng.choice(".?!") if mark < 0.11 else ""
        return _capitalize(" ".join(words) + rng.choice("......?!"))

    def short(self) -> str:
        """A text of one or two words."""
        if self._rng.random() < 0.35:
            text = self._rare_word()
        else:
            text = self._expand(self._pick("word_pair"))
        return _finish(text + self._rng.choice("...?!"))

    def row(self) -> str:
        """Two or three short sentences."""
        sentences = [self._short_sentence() for _ in range(self._rng.choice((2, 2, 3)))]
        return " ".join(sentences)

    def accept(self, text: str) -> None:
        """Counts the words of a text, so that the rare ones are preferred afterwards."""
        self._words.update(words_of(text))

    def _short_sentence(self) -> str:
        if self._rng.random() < 0.5:
            return self._pick("saying")
        while True:
            sentence = self.from_frames(FRAMES)
            if sentence.count(" ") < 7:
                return sentence

    def _rare_word(self) -> str:
        words = words_of_any_context()
        candidates = [self._rng.choice(words) for _ in range(_SALAD_CANDIDATES)]
        return min(candidates, key=lambda word: self._words[word.lower()])

    def _pick(self, category: str) -> str:
        entries = categories()[category]
        candidates = [self._rng.choice(entries) for _ in range(_CANDIDATES)]
        entry = min(
            candidates, key=lambda entry: (entry in self._recent, self._used[category, entry])
        )
        self._recent.add(entry)
        self._used[category, entry] += 1
        return entry

    def _expand(self, text: str) -> str:
        """The text with its slots filled, the outer ones first."""
        parts, start, depth = [], 0, 0
        for index, character in enumerate(text):
            if character == "{":
                if depth == 0:
                    parts.append(text[start:index])
                    start = index + 1
                depth += 1
            elif character == "}":
                depth -= 1
                if depth == 0:
                    parts.append(self._fill(text[start:index]))
                    start = index + 1
        return "".join([*parts, text[start:]])

    def _fill(self, slot: str) -> str:
        alternatives = _alternatives(slot)
        if len(alternatives) > 1:
            return self._expand(self._rng.choice(alternatives))
        if slot == "date":
            return self._date()
        if slot in _DRAWN:
            return _DRAWN[slot](self._rng)
        return self._expand(self._pick(slot))

    def _date(self) -> str:
        day, month = draw_ordinal(self._rng, 31), self._pick("month")
        return f"{month} {day}" if self._rng.random() < 0.5 else f"the {day} of {month}"


def make_sentences(count: int, seed: int, *, exclude: Container[str] = ()) -> list[str]:
    """Distinct texts for training: from frames, random words, short texts, rows of sentences.

    Args:
        count: Number of texts.
        seed: Seed; the same one gives the same texts on every machine.
        exclude: Texts that are not made, such as those of `held_out_sentences`.
    """
    rng = random.Random(seed)  # noqa: S311 - nothing secret
    writer = SentenceWriter(rng)
    return _distinct(count, writer, lambda: _any_text(writer, rng), exclude)


def held_out_sentences(count: int = 200, seed: int = 0) -> list[str]:
    """Distinct sentences for judging, from frames that `make_sentences` never uses."""
    writer = SentenceWriter(random.Random(seed))  # noqa: S311 - nothing secret
    return _distinct(count, writer, lambda: writer.from_frames(HELD_OUT_FRAMES), ())


def _any_text(writer: SentenceWriter, rng: random.Random) -> str:
    kind = rng.random()
    if kind < _FRAME_SHARE:
        sentence = writer.from_frames(FRAMES)
        return writer.opened(sentence) if rng.random() < _OPENING_SHARE else sentence
    if kind < _FRAME_SHARE + _SALAD_SHARE:
        return writer.salad()
    return writer.short() if kind < _FRAME_SHARE + _SALAD_SHARE + _SHORT_SHARE else writer.row()


def _distinct(
    count: int, writer: SentenceWriter, make: Callable[[], str], exclude: Container[str]
) -> list[str]:
    texts: dict[str, None] = {}
    while len(texts) < count:
        text = make()
        if text not in texts and text not in exclude and text.count(" ") < MAX_WORDS:
            texts[text] = None
            writer.accept(text)
    return list(texts)


def _alternatives(slot: str) -> list[str]:
    """The parts of a slot between the bars that are in no inner slot."""
    parts, depth = [""], 0
    for character in slot:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "|" and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _finish(text: str) -> str:
    """The text with single spaces, "an" before vowels and capital letters at the starts."""
    text = _SPACE_BEFORE.sub("", _SPACES.sub(" ", text.strip()))
    return _capitalize(_QUOTED_STATEMENT.sub(",", _AN.sub(r"\1n", text)))


def _capitalize(text: str) -> str:
    return _START.sub(lambda match: match.group().upper(), text)
