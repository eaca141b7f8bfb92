"""Untrusted text in a form that is safe to print on a terminal."""

import json
from typing import Any


def one_line(text: str) -> str:
    """Text with line breaks, control characters and the like replaced by single spaces."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def excerpt(text: str, max_characters: int) -> str:
    """The beginning of a text on one line; an ellipsis is its last character where text is cut."""
    line = one_line(text)
    if len(line) <= max_characters:
        return line
    return line[: max_characters - 1].rstrip() + "…"


def printable_json(data: Any, *, indent: int | None = None) -> str:
    """JSON that is readable in any script; characters that steer a terminal are escaped."""
    text = json.dumps(data, ensure_ascii=False, indent=indent)
    # Outside strings, only the line breaks of the indent are not printable.
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
