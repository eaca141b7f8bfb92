"""Splits a long text into segments that Bark generates well, of Suno's about 13 seconds each."""

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from bark_onnx.graphs.errors import OptionsError
from bark_onnx.runtime.text.sentences import check_language, detect_language
from bark_onnx.runtime.text.text_units import BreakKind, CountTokens, TextUnit, split_units

# Cost of ending a segment there; one that is empty by a share x costs x² besides.
_COST = {
    BreakKind.PARAGRAPH: 0.0,
    BreakKind.SENTENCE: 0.1,
    BreakKind.CLAUSE: 0.4,
    BreakKind.WORD: 0.8,
    BreakKind.CHARACTER: 2.0,
}


@dataclass(frozen=True)
class Segment:
    """A part of a text that is generated in one request."""

    text: str
    tokens: int
    tokens_per_second: float  # of the checkpoint's tokenizer
    speaker: str = ""  # name in a dialogue

    @property
    def seconds(self) -> float:
        """Estimated length of its speech; in most languages the speech is a little shorter."""
        return self.tokens / self.tokens_per_second


def check_max_seconds(max_seconds: Any) -> None:
    """Check that segments can be limited to this many seconds.

    Raises:
        OptionsError: It is not a finite number, or below 1.
    """
    is_number = isinstance(max_seconds, int | float) and not isinstance(max_seconds, bool)
    if not (is_number and 1 <= max_seconds <= sys.float_info.max):
        raise OptionsError(f"max_seconds is {max_seconds!r}, expected a number from 1")


def split_text(
    text: str,
    *,
    count_tokens: CountTokens,
    max_tokens: int,
    max_seconds: float,
    tokens_per_second: float,
    language: str | None = None,
) -> list[Segment]:
    """Split a text of any length at the ends of sentences, into segments of similar length.

    The joined texts of the segments equal the text up to whitespace. A text that fits is one
    segment, unchanged. Every segment has at least one token, unless the whole text has none.

    Args:
        text: Text of any length.
        count_tokens: Number of tokens of a text.
        max_tokens: Most tokens of a segment.
        max_seconds: Longest segment, estimated from its tokens.
        tokens_per_second: Tokens of a second of speech, at the least.
        language: One of Bark's languages, for its abbreviations; None detects it.

    Raises:
        OptionsError: The language is unknown, or `max_seconds` is below 1.
    """
    check_max_seconds(max_seconds)
    limit = int(min(max_tokens, max_seconds * tokens_per_second))
    if language is not None:
        check_language(language)
    tokens = count_tokens(text)
    if tokens <= limit:
        return [Segment(text, tokens, tokens_per_second)]
    units = split_units(text, count_tokens, limit, language or detect_language(text))
    segments = []
    start = 0
    for packed in _pack_segments(units, limit):
        for end in _split_oversized(text, start, packed, count_tokens, limit):
            part = text[start:end].strip()
            segments.append(Segment(part, count_tokens(part), tokens_per_second))
            start = end
    return segments


def _pack_segments(units: list[TextUnit], limit: int) -> Iterator[list[TextUnit]]:
    """Join units to segments with the least total cost, as a typesetter breaks lines.

    Filling each segment up to the limit would leave short ones, after which Bark goes on talking.
    """
    costs = [0.0]  # of the first n units
    firsts = [0]  # where the last segment of those begins
    for last in range(1, len(units) + 1):
        tokens, cost, first = 0, math.inf, last - 1
        for candidate in range(last - 1, -1, -1):
            tokens += units[candidate].tokens
            if tokens > limit and candidate < last - 1:
                break
            # Units without tokens cannot be generated alone.
            slack = (1 - tokens / limit) ** 2 if tokens else math.inf
            if costs[candidate] + slack < cost:
                cost, first = costs[candidate] + slack, candidate
        costs.append(cost + _COST[units[last - 1].break_after])
        firsts.append(first)
    ranges = []
    last = len(units)
    while last:
        ranges.append(slice(firsts[last], last))
        last = firsts[last]
    return (units[part] for part in reversed(ranges))


def _split_oversized(
    text: str, start: int, units: list[TextUnit], count_tokens: CountTokens, limit: int
) -> Iterator[int]:
    """Ends of the segments that packed units become.

    They become one, unless a word was split, which can have more tokens than its parts together.
    """
    if count_tokens(text[start : units[-1].end]) > limit:
        for unit, following in pairwise(units):
            if count_tokens(text[start : following.end]) > limit:
                yield unit.end
                start = unit.end
    yield units[-1].end
