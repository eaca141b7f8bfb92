"""Numbers, ordinals, dates, times and prices in words, and sometimes in digits."""

import random
from collections.abc import Callable

_DIGITS_SHARE = 0.15  # the other numbers are spelt

_UNITS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_IRREGULAR_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}


def draw_number(rng: random.Random) -> str:
    """A number from 2 to 999, of things; the small ones are more frequent."""
    return _write(rng, rng.randint(2, rng.choice((20, 100, 999))), spell_number, str)


def draw_amount(rng: random.Random) -> str:
    """A number from 0 to 999, of nothing."""
    return _write(rng, rng.randint(0, rng.choice((20, 100, 999))), spell_number, str)


def draw_count(rng: random.Random) -> str:
    """A number from 2 to 99: years, degrees, percent."""
    return _write(rng, rng.randint(2, 99), spell_number, str)


def draw_few(rng: random.Random) -> str:
    """A number from 2 to 12."""
    return _write(rng, rng.randint(2, 12), spell_number, str)


def draw_ordinal(rng: random.Random, last: int = 12) -> str:
    """An ordinal from the first to the last."""
    return _write(rng, rng.randint(1, last), spell_ordinal, ordinal_digits)


def draw_time(rng: random.Random) -> str:
    """A time of day to five minutes."""
    hour, minute = rng.randint(1, 12), rng.randrange(5, 60, 5)
    if rng.random() < _DIGITS_SHARE:
        return f"{hour}:{minute:02}"
    spelt = spell_number(hour)
    past = spell_number(minute) if minute >= 10 else f"oh {spell_number(minute)}"
    return rng.choice(
        (
            f"{spelt} o'clock",
            f"half past {spelt}",
            f"a quarter {rng.choice(('past', 'to'))} {spelt}",
            f"{rng.choice(('five', 'ten', 'twenty'))} {rng.choice(('past', 'to'))} {spelt}",
            f"{spelt} {past}",
            f"{spelt} in the {rng.choice(('morning', 'afternoon', 'evening'))}",
        )
    )


def draw_price(rng: random.Random) -> str:
    """A price from two dollars on."""
    dollars = rng.randint(2, 99)
    if rng.random() < _DIGITS_SHARE:
        return f"${dollars}"
    cents = f" and {spell_number(rng.randint(2, 99))} cents"
    return f"{spell_number(dollars)} dollars{rng.choice(('', cents))}"


def draw_digits(rng: random.Random) -> str:
    """Five digits, one by one, as of a phone number."""
    return ", ".join(spell_number(rng.randrange(10)) for _ in range(5))


def _write(
    rng: random.Random, number: int, in_words: Callable[[int], str], in_digits: Callable[[int], str]
) -> str:
    return (in_digits if rng.random() < _DIGITS_SHARE else in_words)(number)


def spell_number(number: int) -> str:
    """A number from 0 to 999 in words: 342 is "three hundred forty-two"."""
    if number < 20:
        return _UNITS[number]
    if number < 100:
        tens, units = divmod(number, 10)
        return _TENS[tens - 2] + (f"-{_UNITS[units]}" if units else "")
    hundreds, rest = divmod(number, 100)
    return f"{_UNITS[hundreds]} hundred" + (f" {spell_number(rest)}" if rest else "")


def spell_ordinal(number: int) -> str:
    """An ordinal from 1 to 99 in words: 21 is "twenty-first"."""
    tens, hyphen, last = spell_number(number).rpartition("-")
    if last in _IRREGULAR_ORDINALS:
        last = _IRREGULAR_ORDINALS[last]
    else:
        last = f"{last.removesuffix('y')}ieth" if last.endswith("y") else f"{last}th"
    return tens + hyphen + last


def ordinal_digits(number: int) -> str:
    """An ordinal from 1 to 99 in digits: 21 is "21st"."""
    return f"{number}{spell_ordinal(number)[-2:]}"
