"""Texts of anybody as they can be shown to people: harmless to a terminal."""

import json
from typing import Any


def one_line(text: str) -> str:
    """A text with single spaces for line breaks, control characters and the like."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def excerpt(text: str, most_characters: int) -> str:
    """The beginning of a text on one line; where there is more, an ellipsis is its last character.

    Args:
        text: may come from anybody and hold anything.
        most_characters: of what is returned, ellipsis included; at least 1.
    """
    line = one_line(text)
    if len(line) <= most_characters:
        return line
    return line[: most_characters - 1].rstrip() + "…"


def printable_json(data: Any, *, indent: int | None = None) -> str:
    """JSON that people can read in any script; what a terminal would obey is escaped."""
    text = json.dumps(data, ensure_ascii=False, indent=indent)
    # Outside strings there is nothing that is not printable but the line breaks of the indent.
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
