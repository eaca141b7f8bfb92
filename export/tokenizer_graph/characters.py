"""What a tokenizer makes of each character of a text before it looks for pieces of words.

The tokenizer itself is asked for every code point of Unicode, so that the graph has its tables and
not those of another version of Unicode.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from tokenizers import Tokenizer

_BEFORE, _AFTER = "012", "210"  # digits, which no tokenizer changes
_BORDER = f"{_AFTER} {_BEFORE}"
_CHUNK = 256  # characters of a call; many chunks lie in one unused or private range
_CODE_POINTS = (range(0xD800), range(0xE000, 0x110000))  # without surrogates


def character_replacements(tokenizer: Tokenizer) -> dict[str, str]:
    """What replaces each character that does not stay as it is, with a space where a word ends.

    Nothing replaces a control character, a space replaces a line break, " ! " replaces a mark of
    punctuation, and "a" an "À" if the tokenizer knows neither accents nor capital letters.
    """
    return {
        character: found
        for points in _CODE_POINTS
        for begin in range(points.start, points.stop, _CHUNK)
        for character, found in _spell(tokenizer, range(begin, begin + _CHUNK))
        if found != character
    }


def _spell(tokenizer: Tokenizer, points: range) -> Iterator[tuple[str, str]]:
    """Each character, and what is left of it between two digits."""
    characters = [chr(point) for point in points]
    together = "".join(characters)
    if not tokenizer.normalizer.normalize_str(together):
        return zip(characters, [""] * len(characters), strict=True)
    if _words(tokenizer, together) == together:
        return zip(characters, characters, strict=True)
    found = _words(tokenizer, " ".join(f"{_BEFORE}{each}{_AFTER}" for each in characters))
    found = found.removeprefix(_BEFORE).removesuffix(_AFTER)
    return zip(characters, found.split(_BORDER), strict=True)


def _words(tokenizer: Tokenizer, text: str) -> str:
    words = tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))
    return " ".join(word for word, _ in words)


def replacement_patterns(
    replacements: dict[str, str], alphabet: frozenset[str], unknown: str
) -> Iterator[tuple[str, str]]:
    """Class of characters and what replaces each of them, as RE2 writes both; none only splits.

    Args:
        replacements: Result of `character_replacements`.
        alphabet: Characters of the vocabulary.
        unknown: A character outside the alphabet. It stands for all of them: a word with any is
            unknown.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for character, found in replacements.items():
        text = found.strip(" ")
        if text == character:
            continue
        is_known = alphabet.issuperset(text.replace(" ", ""))
        members[found if is_known else found.replace(text, unknown)].append(character)
    for found, characters in members.items():
        yield character_class(characters), found.replace("\\", r"\\")


def splitting_characters(replacements: dict[str, str]) -> list[str]:
    """Characters that are words of their own: punctuation, and Chinese ones."""
    return [character for character, found in replacements.items() if found == f" {character} "]


def character_class(characters: Iterable[str]) -> str:
    r"""A class of RE2 such as [\x{21}-\x{2f}\x{3a}], of characters in ascending order."""
    ranges: list[list[int]] = []
    for point in map(ord, characters):
        if ranges and ranges[-1][1] == point - 1:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    return "[" + "".join(_shown_range(first, last) for first, last in ranges) + "]"


def _shown_range(first: int, last: int) -> str:
    return f"\\x{{{first:x}}}" + (f"-\\x{{{last:x}}}" if last > first else "")
