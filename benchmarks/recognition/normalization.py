"""Words of a text: as they are spoken, and in one spelling to compare them.

In one spelling "7:30", "730" and "seven thirty" are the same.

Numbers, however written, become digits in pairs from the right: "one hundred twenty three", "123"
and "one twenty three" are all "1 23". The normalizer that comes with Whisper makes "70 clock" of
"seven o'clock", "2519" of "02519", and different words of "7:30" and "seven thirty".
"""

import re

from num2words import num2words
from text_to_num import alpha2digit

_SYMBOLS = (
    (r"\$(\d[\d,]*)\.(\d\d)\b", r"\1 dollars and \2 cents"),
    (r"\$(\d[\d,]*)", r"\1 dollars"),
    (r"(\d)\s*%", r"\1 percent"),
    (r"(\d)\s*°", r"\1 degrees "),
    (r"\+", " plus "),
    (r"=", " equals "),
    (r"&", " and "),
    (r"(?<=\d),(?=\d{3}\b)", ""),
)
_CONTRACTIONS = (
    (r"\bwon't\b", "will not"),
    (r"\bcan't\b|\bcannot\b", "can not"),
    (r"n't\b", " not"),
    (r"\blet's\b", "let us"),
    (r"\b(it|he|she|that|there|here|what|where|who|how|when)'s\b", r"\1 is"),
    (r"\bits\b", "it is"),
    (r"'s\b", "s"),  # of an owner: "john's" and "johns" sound alike
    (r"'re\b", " are"),
    (r"'ll\b", " will"),
    (r"'ve\b", " have"),
    (r"'m\b", " am"),
    (r"'d\b", " would"),
)
_TIMES = (
    (r"\bo'? ?clock\b", "oclock"),
    (r"\b(\d{1,2})[:.]00\b", r"\1 oclock"),
    (r"\b(\d{1,2}):(\d\d)\b", r"\1 \2"),
    (r"\b(\d{1,2})\.(\d{2,})\b", r"\1 \2"),
    (r"(\d)\.(\d)", r"\1 point \2"),
    (r"(\d|\b)([ap])\.? ?m\b", r"\1 \2m"),
)
_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
_DATE = re.compile(rf"\b({_MONTHS}) ([12]?\d|3[01])(?= |$)(?! \d)")  # "May 2" is read "May second"
_DIGIT_WORD = "one|two|three|four|five|six|seven|eight|nine|zero|oh|ten|eleven|twelve"
_NUMBER_WORDS = (
    (rf"\b(?:oh|o)(?= (?:{_DIGIT_WORD}|\d+)\b)", "zero"),
    (r"\ba (?=(?:hundred|thousand)\b)", "one "),
)
_SPELLINGS = (  # British, to American
    (r"\b(\w*(?:col|fav|flav|harb|hon|hum|lab|neighb|rum|behavi))our", r"\1or"),
    (r"\b(theat|cent|(?:kilo|centi)?met|lit|fib)re(s?)\b", r"\1er\2"),
    (r"\b(real|recogn|organ|apolog|critic)is(e|ed|es|ing)\b", r"\1iz\2"),
    (r"\b(travel|cancel|label|signal)l(ed|ing|ers?)\b", r"\1\2"),
)
_SAME_WORDS = {
    "alright": "all right",
    "cosy": "cozy",
    "dr": "doctor",
    "grey": "gray",
    "jewellery": "jewelry",
    "mr": "mister",
    "mrs": "missus",
    "ok": "okay",
    "practise": "practice",
    "programme": "program",
    "pyjamas": "pajamas",
    "tv": "television",
    "tyre": "tire",
}
_SPOKEN = (
    (r"\b(\d{1,2}):00\b", r"\1 o'clock"),
    (r"\b(\d{1,2}):0(\d)\b", r"\1 oh \2"),
    (r"\b(\d{1,2}):(\d\d)\b", r"\1 \2"),
    (r"(\d)\.(\d)", r"\1 point \2"),
)
_DIGITS = re.compile(r"(\d+)(st|nd|rd|th)?\b")
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")
_NUMBER = re.compile(r"\d+(?:\s+\d+)*(?![\w])")


def spoken_words(text: str) -> list[str]:
    """The words of a text in lower case, as a speaker says them: "$5" is "five dollars"."""
    text = _plain(text)
    for pattern, replacement in (*_SYMBOLS, *_SPOKEN):
        text = re.sub(pattern, replacement, text)
    text = _DIGITS.sub(lambda match: f" {_in_words(int(match[1]), bool(match[2]))} ", text)
    return _WORD.findall(text)


def normalized_words(text: str) -> list[str]:
    """The words of a text, in one spelling."""
    text = _plain(text)
    for pattern, replacement in (*_SYMBOLS, *_TIMES, *_CONTRACTIONS):
        text = re.sub(pattern, replacement, text)
    text = " ".join(re.findall(r"[a-z0-9]+", text.replace("'", "")))
    text = text.replace("per cent", "percent")
    for pattern, replacement in (*_NUMBER_WORDS, *_SPELLINGS):
        text = re.sub(pattern, replacement, text)
    text = " ".join(_SAME_WORDS.get(word, word) for word in text.split())
    text = alpha2digit(text, "en", threshold=0)
    text = re.sub(r"(\d)\.(\d)", r"\1 point \2", text)  # as alpha2digit writes "point"
    return _NUMBER.sub(_pairs, _DATE.sub(_ordinal, text)).split()


def _plain(text: str) -> str:
    """A text in lower case with plain apostrophes."""
    return text.lower().replace("’", "'").replace("‘", "'")  # noqa: RUF001


def _in_words(number: int, is_ordinal: bool) -> str:
    words: str = num2words(number, to="ordinal" if is_ordinal else "cardinal")
    return words.replace(" and ", " ")  # of "one hundred and five"


def _ordinal(match: re.Match[str]) -> str:
    """A month, and the day as "2nd"."""
    day = int(match[2])
    suffix = "th" if 10 < day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{match[1]} {day}{suffix}"


def _pairs(match: re.Match[str]) -> str:
    """Digits of a number in pairs from the right."""
    digits = re.sub(r"\s", "", match[0])
    start = len(digits) % 2
    return " ".join(
        [digits[:start], *(digits[i : i + 2] for i in range(start, len(digits), 2))]
    ).strip()
