"""Text in a picture: what the installed fonts can show of it, as far as there is room."""

import re
from unicodedata import east_asian_width

_CHINESE_JAPANESE_KOREAN = re.compile(r"Noto Sans (CJK )?(JP|KR|SC|TC)")


def families() -> list[str]:
    """Fonts in which to look for a character, the one that matplotlib brings first.

    matplotlib cannot join letters, so the fonts of scripts that need it are left out.
    """
    from matplotlib import font_manager

    installed = sorted({font.name for font in font_manager.fontManager.ttflist})
    return ["DejaVu Sans", *filter(_CHINESE_JAPANESE_KOREAN.fullmatch, installed)]


def known_characters() -> set[str]:
    """Characters that one of the `families` has."""
    from matplotlib import font_manager

    paths = [font_manager.findfont(family) for family in families()]
    return {chr(code) for path in paths for code in font_manager.get_font(path).get_charmap()}


def legible(text: str, known: set[str]) -> str:
    """A text on one line; empty where most of its characters are in no font."""
    line = " ".join(text.split())
    plain = "".join(c for c in line if c in known and c.isprintable())
    return " ".join(plain.split()) if len(plain) > len(line) / 2 else ""


def crop(text: str, columns: int) -> str:
    """What fits into so many columns, of which Chinese characters take two."""
    room = columns
    for index, character in enumerate(text):
        room -= 2 if east_asian_width(character) in "WF" else 1
        if room < (index < len(text) - 1):
            return text[:index].rstrip() + "…"
    return text
