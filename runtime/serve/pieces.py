"""A text as pieces that Bark can say, each in one utterance."""

import re
from collections.abc import Callable, Iterator

import numpy as np

CountTokens = Callable[[str], int]

_MOST_TOKENS = 46  # about 13 seconds of speech; a prompt holds 256
# Up to an end: a full stop and what closes after it before a space, or the full stops of scripts
# that have no spaces or their own sign (Chinese, Japanese, Hindi), or a line's end.
_SENTENCE = re.compile(
    "(?s).+?(?:[.!?\u2026][\"')\\]\u201d\u2019\u00bb]*\\s+|[\u3002\uff01\uff1f\u0964]\\s*|\n\\s*|\\Z)"
)
_WORD = re.compile(r"\s*\S+\s*")


def split_text(text: str, *, count_tokens: CountTokens) -> list[str]:
    """The pieces of a text, in order: whole sentences, as many as fit.

    Joined, they are the text up to white space; a piece without tokens is left out.
    """
    pieces = [""]
    for part in _parts(text, count_tokens):
        if count_tokens(pieces[-1] + part) > _MOST_TOKENS:
            pieces.append("")
        pieces[-1] += part
    return [stripped for piece in pieces if count_tokens(stripped := piece.strip())]


def piece_seed(seed: int, index: int) -> int:
    """The seed of a piece: the request's own for the first, another for each of the rest."""
    if index == 0:
        return seed
    return int(np.random.SeedSequence((seed, index)).generate_state(1)[0])


def _parts(text: str, count_tokens: CountTokens) -> Iterator[str]:
    """Sentences that fit, the words of those that do not, and parts of endless words."""
    for sentence in _SENTENCE.findall(text):
        if count_tokens(sentence) <= _MOST_TOKENS:
            yield sentence
        else:
            for word in _WORD.findall(sentence):
                yield from _halves(word, count_tokens)


def _halves(word: str, count_tokens: CountTokens) -> Iterator[str]:
    if len(word) < 2 or count_tokens(word) <= _MOST_TOKENS:
        yield word
    else:
        middle = len(word) // 2
        yield from _halves(word[:middle], count_tokens)
        yield from _halves(word[middle:], count_tokens)
