"""Text to atoms: the largest parts that may not be cut further, and how well a cut suits there.

Sentences are atoms; one that is too long for a piece is cut into clauses, a clause into words, a
word into characters as they are seen. Tags such as [laughs] and spans between ♪ stay whole.
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
    """What ends at a place, from the best place to cut to the worst."""

    PARAGRAPH = 0
    SENTENCE = 1
    CLAUSE = 2
    WORD = 3
    CHARACTER = 4


@dataclass(frozen=True)
class TextUnit:
    """A part of a text, with the whitespace before it."""

    end: int  # its last character is the one before
    tokens: int
    after: BreakKind


def split_units(text: str, count_tokens: CountTokens, limit: int, language: str) -> list[TextUnit]:
    """Cut a text into atoms of at most `limit` tokens; they follow each other without a gap."""
    cutter = _Cutter(text, count_tokens, limit)
    atoms: list[TextUnit] = []
    start = 0
    for end in cutter.allowed(sentence_ends(text, language)):
        gap = _GAP.match(text, end)
        assert gap is not None
        is_paragraph = gap.group().count("\n") > 1
        after = BreakKind.PARAGRAPH if is_paragraph else BreakKind.SENTENCE
        atoms.extend(cutter.cut(start, end, after))
        start = end
    if start < len(text):
        atoms.extend(cutter.cut(start, len(text), BreakKind.PARAGRAPH))
    return atoms


class _Cutter:
    """A text, and the spans in it that no cut may enter."""

    def __init__(self, text: str, count_tokens: CountTokens, limit: int) -> None:
        self._text = text
        self._count_tokens = count_tokens
        self._limit = limit
        spans = [*self._kept_whole()]
        self._span_starts = [start for start, _ in spans]
        self._span_ends = [end for _, end in spans]

    def _kept_whole(self) -> Iterator[tuple[int, int]]:
        """Tags and songs that are not too long; of a song that is, the tags in it."""
        for match in _TAG_OR_SONG.finditer(self._text):
            if self._count_tokens(match.group()) <= self._limit:
                yield match.span()
            elif match.group().startswith("♪"):
                yield from (tag.span() for tag in _TAG.finditer(self._text, *match.span()))

    def allowed(self, places: Iterable[int]) -> Iterator[int]:
        """Those places that lie in no span that stays whole."""
        for place in places:
            before = bisect_left(self._span_starts, place) - 1
            if before < 0 or self._span_ends[before] <= place:
                yield place

    def cut(
        self, start: int, end: int, after: BreakKind, level: BreakKind = BreakKind.SENTENCE
    ) -> Iterator[TextUnit]:
        """Cut a part at places of the next level, and of the one below it where that is not enough.

        Args:
            start: where it begins.
            end: where it ends.
            after: what ends there.
            level: the level at which it was found.
        """
        tokens = self._count_tokens(self._text[start:end])
        if tokens <= self._limit or level == BreakKind.CHARACTER:
            yield TextUnit(end, tokens, after)
            return
        below = BreakKind(level + 1)
        places = [place for place in self.allowed(self._places(start, end, below)) if place < end]
        for place in places:
            yield from self.cut(start, place, below, below)
            start = place
        yield from self.cut(start, end, after, below)

    def _places(self, start: int, end: int, level: BreakKind) -> Iterator[int]:
        if level == BreakKind.CHARACTER:
            return (match.end() for match in _CLUSTER.finditer(self._text, start, end))
        is_end = _ends_clause if level == BreakKind.CLAUSE else _ends_word
        text = self._text
        return (place for place in range(start + 1, end) if is_end(text[place - 1], text[place]))


def _ends_word(last: str, following: str) -> bool:
    return following.isspace() and not last.isspace()


def _ends_clause(last: str, following: str) -> bool:
    """Whether a mark ends here that does not open something: commas, dashes, closing brackets.

    A full stop that ends no sentence belongs to an abbreviation or a number.
    """
    category = unicodedata.category(last)
    is_mark = category.startswith("P") and category not in ("Ps", "Pi") and last != "."
    return is_mark and (following.isspace() or _is_wide(last) or _is_wide(following))


def _is_wide(character: str) -> bool:
    """Whether it belongs to a script that puts no spaces between words, as Chinese."""
    return unicodedata.east_asian_width(character) in ("W", "F")
