"""The words of the demo, by category.

A category is a file of categories/: one word or phrase a line, below a comment. A line may have
slots of other categories, as a frame of a sentence has.
"""

import re
from functools import cache
from importlib.resources import files

FRAMES = "frames"
HELD_OUT_FRAMES = "held_out_frames"

_CAPITALIZED = ("city", "country", "day", "language", "month", "name")
_HOMOGRAPHS = "homograph"
_WORD = re.compile(r"(?<![0-9a-z])[a-z]+(?:'[a-z]+)*", re.IGNORECASE)
_SLOT = re.compile(r"\{[a-z_]+\}")


@cache
def categories() -> dict[str, tuple[str, ...]]:
    """Every category and its entries, in the order of the file."""
    folder = files(__package__) / "categories"
    return {
        file.name.removesuffix(".txt"): tuple(
            line for line in file.read_text("utf-8").splitlines() if line and line[0] != "#"
        )
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
    }


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without slots, digits and punctuation."""
    return [word.lower() for word in _WORD.findall(_SLOT.sub(" ", text))]


@cache
def known_words() -> tuple[str, ...]:
    """Every word that the demo says, in lower case, sorted."""
    words = {
        word
        for name, entries in categories().items()
        if name not in (FRAMES, HELD_OUT_FRAMES)
        for entry in entries
        for word in words_of(entry)
    }
    return tuple(sorted(words))


@cache
def spellings() -> dict[str, str]:
    """Each known word as it is written within a sentence: "Monday", "I'm", "table"."""
    names = {
        word: word.capitalize()
        for category in _CAPITALIZED
        for entry in categories()[category]
        for word in words_of(entry)
    }
    plain = {
        entry
        for category, entries in categories().items()
        if category not in _CAPITALIZED
        for entry in entries
    }
    return {
        word: word.capitalize()
        if word == "i" or word.startswith("i'")
        else word
        if word in plain
        else names.get(word, word)
        for word in known_words()
    }


@cache
def words_of_any_context() -> tuple[str, ...]:
    """The known words, as they are written, that sound alike in every sentence."""
    return tuple(
        spelling for word, spelling in spellings().items() if word not in categories()[_HOMOGRAPHS]
    )
