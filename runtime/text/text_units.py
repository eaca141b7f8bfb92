"""Splits text into units: the largest parts that fit a segment, with the kind of break after each.

A unit is a sentence; one that is too long becomes clauses, a clause words, a word grapheme
clusters. Tags such as [laughs] and spans between ♪ stay whole.
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

import regex

from bark_onnx.runtime.text.sentences import sentence_ends

CountTokens = Callable[[str], int]

_TAG = re.compile(r"\[[^\[\]\n]{1,40}\]")
_TAG_OR_SONG = re.compile(rf"{_TAG.pattern}|♪(?:(?!\n[ \t]*\n)[^♪])*♪")  # no blank line in a song
_CLUSTER = regex.compile(r"\X")
_GAP = re.compile(r"\s*")


class BreakKind(IntEnum):
    """Kinds of breaks in a text, from the best place to split to the worst."""

    PARAGRAPH = 0
    SENTENCE = 1
    CLAUSE = 2
    WORD = 3
    CHARACTER = 4


@dataclass(frozen=True)
class TextUnit:
    """A part of a text, with the whitespace before it."""

    end: int  # position after its last character
    tokens: int
    break_after: BreakKind


def split_units(text: str, count_tokens: CountTokens, limit: int, language: str) -> list[TextUnit]:
    """Split a text into units of at most `limit` tokens, one after the other without a gap."""
    splitter = _Splitter(text, count_tokens, limit)
    units: list[TextUnit] = []
    start = 0
    for end in splitter.outside_spans(sentence_ends(text, language)):
        gap = _GAP.match(text, end)
        assert gap is not None
        is_paragraph = gap.group().count("\n") > 1
        kind = BreakKind.PARAGRAPH if is_paragraph else BreakKind.SENTENCE
        units.extend(splitter.split(start, end, kind))
        start = end
    if start < len(text):
        units.extend(splitter.split(start, len(text), BreakKind.PARAGRAPH))
    return units


class _Splitter:
    """A text and its protected spans, inside which it is not split."""

    def __init__(self, text: str, count_tokens: CountTokens, limit: int) -> None:
        self._text = text
        self._count_tokens = count_tokens
        self._limit = limit
        spans = [*self._protected_spans()]
        self._span_starts = [start for start, _ in spans]
        self._span_ends = [end for _, end in spans]

    def _protected_spans(self) -> Iterator[tuple[int, int]]:
        """Tags and songs that fit; of a song that does not, the tags in it."""
        for match in _TAG_OR_SONG.finditer(self._text):
            if self._count_tokens(match.group()) <= self._limit:
                yield match.span()
            elif match.group().startswith("♪"):
                yield from (tag.span() for tag in _TAG.finditer(self._text, *match.span()))

    def outside_spans(self, places: Iterable[int]) -> Iterator[int]:
        """The places that are outside of protected spans."""
        for place in places:
            before = bisect_left(self._span_starts, place) - 1
            if before < 0 or self._span_ends[before] <= place:
                yield place

    def split(
        self, start: int, end: int, kind: BreakKind, level: BreakKind = BreakKind.SENTENCE
    ) -> Iterator[TextUnit]:
        """Split a part at breaks below its level; parts still too long, at the next one below.

        `kind` is the kind of the break at `end`, `level` that of the breaks around the part.
        """
        tokens = self._count_tokens(self._text[start:end])
        if tokens <= self._limit or level == BreakKind.CHARACTER:
            yield TextUnit(end, tokens, kind)
            return
        below = BreakKind(level + 1)
        breaks = self.outside_spans(self._breaks(start, end, below))
        for place in [place for place in breaks if place < end]:
            yield from self.split(start, place, below, below)
            start = place
        yield from self.split(start, end, kind, below)

    def _breaks(self, start: int, end: int, level: BreakKind) -> Iterator[int]:
        if level == BreakKind.CHARACTER:
            return (match.end() for match in _CLUSTER.finditer(self._text, start, end))
        is_end = _ends_clause if level == BreakKind.CLAUSE else _ends_word
        text = self._text
        return (place for place in range(start + 1, end) if is_end(text[place - 1], text[place]))


def _ends_word(last: str, following: str) -> bool:
    return following.isspace() and not last.isspace()


def _ends_clause(last: str, following: str) -> bool:
    """Whether a mark that does not open something ends here: comma, dash, closing bracket.

    A full stop inside a sentence belongs to an abbreviation or a number.
    """
    category = unicodedata.category(last)
    is_mark = category.startswith("P") and category not in ("Ps", "Pi") and last != "."
    return is_mark and (following.isspace() or _is_wide(last) or _is_wide(following))


def _is_wide(character: str) -> bool:
    """Whether it belongs to a script without spaces between words, as Chinese."""
    return unicodedata.east_asian_width(character) in ("W", "F")
