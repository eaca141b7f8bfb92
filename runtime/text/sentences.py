"""Ends of sentences in Bark's thirteen languages. Knows nothing of tokens and segments.

yasbd-lib finds the ends, by rules and abbreviations of each language; py3langid detects the
language. Of 68 sentences in 13 languages, with abbreviations, dates, decimals, quotes and
ellipses, yasbd-lib found 68 and cut 2 further, in 20 ms for 20,000 characters. More cuts: pysbd (68
/ 12, 258 ms, without ko, pt, tr), sentencex (67 / 15), unicode-segmentation-rs, uniseg and icu4py
(UAX 29: 66 / 25), sentence-stream (54 / 18); wtpsplit needs a model.
"""

from collections.abc import Iterator

from bark_onnx.graphs.errors import OptionsError
from bark_onnx.graphs.files.atomic_write import wrap_os_errors
from bark_onnx.runtime.text.languages import LANGUAGE_CODES

_SAMPLE_CHARACTERS = 1000  # what detection reads
_WINDOW_CHARACTERS = 2000  # rules for closing quotes take time with the square of it
_TRUSTED_CHARACTERS = 1500  # after them a quotation may close beyond the window


def detect_language(text: str) -> str:
    """The most probable of `LANGUAGE_CODES`; the same text always gives the same code.

    Raises:
        OptionsError: The detector cannot unpack its model, as on a full disk.
    """
    import py3langid

    with wrap_os_errors(OptionsError, "the language cannot be detected; give language"):
        ranked: list[tuple[str, float]] = py3langid.rank(text[:_SAMPLE_CHARACTERS])
    return next(code for code, _ in ranked if code in LANGUAGE_CODES)


def check_language(language: str) -> None:
    """Check that a code is one of `LANGUAGE_CODES`."""
    if language not in LANGUAGE_CODES:
        raise OptionsError(f"language is {language!r}, expected one of {', '.join(LANGUAGE_CODES)}")


def sentence_ends(text: str, language: str) -> Iterator[int]:
    """Ends of sentences in ascending order, before the whitespace that follows them.

    The last one is the end of the last word. The time is linear in the length of the text. The
    language is one of `LANGUAGE_CODES`.
    """
    from yasbd import BoundaryDetector

    detector = BoundaryDetector(lang=language)
    length = len(text.rstrip())
    start = 0
    while start < length:
        window = text[start : min(start + _WINDOW_CHARACTERS, length)]
        ends = [start + len(window[:end].rstrip()) for end in detector.detect(window)]
        if start + len(window) < length:
            # The end of a window does not end a sentence, unless no sentence ends before it.
            trusted = [end for end in ends if end <= start + _TRUSTED_CHARACTERS]
            ends = trusted or ends[:-1] or [start + _last_gap(window)]
        for end in ends:
            if end > start:
                yield end
                start = end


def _last_gap(window: str) -> int:
    """Position before the last word of a window that is one long sentence."""
    gap = len(window.rsplit(maxsplit=1)[0].rstrip())
    return gap if 0 < gap < len(window) else len(window)
