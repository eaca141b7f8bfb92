"""Word error rate of what was recognized."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import jiwer
import numpy as np

from recognition.normalization import normalized_words

_RESAMPLES = 1000


@dataclass(frozen=True)
class WordErrors:
    """Words of one sentence that were recognized wrongly."""

    sentence: str
    recognized: str
    errors: int  # substituted, left out and inserted words, at most `words`
    words: int  # of the sentence


@dataclass(frozen=True)
class ErrorRate:
    """Word error rate of a set of sentences, in percent, with its 95 % interval."""

    percent: float
    low: float
    high: float

    def __format__(self, form: str) -> str:
        return f"{self.percent:{form}} ({self.low:{form}}-{self.high:{form}})"


def word_errors(sentence: str, recognized: str) -> WordErrors:
    """Compare a sentence with what was recognized; spaces within words do not count.

    Insertions count up to the length of the sentence: a recognizer in a loop writes hundreds.
    """
    expected = normalized_words(sentence)
    found = _spaced_like(expected, normalized_words(recognized))
    if not expected:
        raise ValueError(f"sentence {sentence!r} has no words")
    result = jiwer.process_words(" ".join(expected), " ".join(found))
    errors = result.substitutions + result.deletions + result.insertions
    return WordErrors(sentence, recognized, min(errors, len(expected)), len(expected))


def error_rate(counts: Sequence[WordErrors]) -> ErrorRate:
    """Errors of all sentences over words of all; the interval is a bootstrap over sentences."""
    errors = np.array([count.errors for count in counts])
    words = np.array([count.words for count in counts])
    chosen = np.random.default_rng(0).integers(0, len(counts), (_RESAMPLES, len(counts)))
    rates = errors[chosen].sum(1) / words[chosen].sum(1)
    low, high = np.percentile(rates, [2.5, 97.5])
    return ErrorRate(100 * errors.sum() / words.sum(), 100 * low, 100 * high)


def _spaced_like(expected: list[str], found: list[str]) -> list[str]:
    """Join and split words as in the sentence: "postoffice" and "post office" sound alike."""
    pairs = {first + second: [first, second] for first, second in itertools.pairwise(expected)}
    known = set(expected)
    result: list[str] = []
    for word in found:
        if result and word not in known and result[-1] + word in known:
            result[-1] += word
        else:
            result += pairs[word] if word in pairs and word not in known else [word]
    return result
