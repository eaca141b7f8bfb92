"""Long text to pieces that Bark says well, about 13 seconds each. Knows no voices and no audio."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from bark_onnx.graphs.errors import OptionsError
from bark_onnx.runtime.text.sentences import check_language, detect_language
from bark_onnx.runtime.text.text_units import BreakKind, CountTokens, TextUnit, split_units

MAX_TOKENS = 256  # what a prompt of Suno's models holds
MAX_SECONDS = 13.0  # Bark's own examples of longer pieces lose their end

# The first article of the Universal Declaration of Human Rights, ten seconds of speech, has 36
# tokens in English, 40 to 50 in most languages and 64 in Hindi: the least, so that no piece is too
# long for Bark.
TOKENS_PER_SECOND = 3.6

# What a piece costs when it ends there; one that is empty by a share x costs x² besides.
_COST = {
    BreakKind.PARAGRAPH: 0.0,
    BreakKind.SENTENCE: 0.1,
    BreakKind.CLAUSE: 0.4,
    BreakKind.WORD: 0.8,
    BreakKind.CHARACTER: 2.0,
}


@dataclass(frozen=True)
class Segment:
    """A part of a text that is said in one go."""

    text: str
    tokens: int
    speaker: str = ""  # of a dialogue; empty elsewhere

    @property
    def seconds(self) -> float:
        """How long it takes to say, about; in most languages a little less."""
        return self.tokens / TOKENS_PER_SECOND


def split_text(
    text: str,
    *,
    count_tokens: CountTokens,
    language: str | None = None,
    max_tokens: int = MAX_TOKENS,
    max_seconds: float = MAX_SECONDS,
) -> list[Segment]:
    """Split a text of any length at the ends of sentences, into pieces of similar length.

    The pieces' texts, joined, are the text up to whitespace. A text that fits is one piece, as it
    stands. Every piece has at least one token, unless the whole text has none.

    Args:
        text: in one of Bark's languages.
        count_tokens: tokens of a text, as `Bark.count_tokens`.
        language: its code, whose abbreviations to mind; None recognises it.
        max_tokens: of a piece.
        max_seconds: of a piece, estimated from its tokens.

    Raises:
        OptionsError: the language is none of Bark's, or no piece can be as short as asked.
    """
    limit = _limit(max_tokens, max_seconds)
    if language is not None:
        check_language(language)
    tokens = count_tokens(text)
    if tokens <= limit:
        return [Segment(text, tokens)]
    atoms = split_units(text, count_tokens, limit, language or detect_language(text))
    pieces = []
    start = 0
    for packed in _pack(atoms, limit):
        for end in _fit(text, start, packed, count_tokens, limit):
            part = text[start:end].strip()
            pieces.append(Segment(part, count_tokens(part)))
            start = end
    return pieces


def _limit(max_tokens: int, max_seconds: float) -> int:
    is_number = isinstance(max_seconds, int | float) and not isinstance(max_seconds, bool)
    if not is_number or not math.isfinite(max_seconds) or max_seconds < 1:
        raise OptionsError(f"max_seconds is {max_seconds!r}, expected a number from 1")
    return min(max_tokens, int(max_seconds * TOKENS_PER_SECOND))


def _pack(atoms: list[TextUnit], limit: int) -> Iterator[list[TextUnit]]:
    """Join atoms to pieces, with the least cost over the whole text, as a typesetter breaks lines.

    Filling each piece as far as it goes would leave short ones over, in which Bark babbles.
    """
    costs = [0.0]  # of the first so many atoms
    firsts = [0]  # where the last piece of those begins
    for last in range(1, len(atoms) + 1):
        tokens, cost, first = 0, math.inf, last - 1
        for candidate in range(last - 1, -1, -1):
            tokens += atoms[candidate].tokens
            if tokens > limit and candidate < last - 1:
                break
            # What has no tokens cannot be said alone.
            slack = (1 - tokens / limit) ** 2 if tokens else math.inf
            if costs[candidate] + slack < cost:
                cost, first = costs[candidate] + slack, candidate
        costs.append(cost + _COST[atoms[last - 1].after])
        firsts.append(first)
    ranges = []
    last = len(atoms)
    while last:
        ranges.append(slice(firsts[last], last))
        last = firsts[last]
    return (atoms[part] for part in reversed(ranges))


def _fit(
    text: str, start: int, atoms: list[TextUnit], count_tokens: CountTokens, limit: int
) -> Iterator[int]:
    """Ends of the pieces that a packed one comes to.

    It is one piece, unless it was cut inside a word, which can have more tokens than its parts.
    """
    if count_tokens(text[start : atoms[-1].end]) > limit:
        for atom, following in pairwise(atoms):
            if count_tokens(text[start : following.end]) > limit:
                yield atom.end
                start = atom.end
    yield atoms[-1].end
