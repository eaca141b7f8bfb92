"""Griffe extension: the comment beside a dataclass field is the field's documentation.

Options are documented by one comment per field, which griffe alone does not read.
"""

import functools
import tokenize
from pathlib import Path
from typing import Any

import griffe


class FieldComments(griffe.Extension):
    """Turns comments of a class's attributes into docstrings."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Document one attribute, unless it has a docstring."""
        if attr.docstring is None and attr.lineno and attr.parent and attr.parent.is_class:
            text = _comment_of(attr)
            if text:
                attr.docstring = griffe.Docstring(text, lineno=attr.lineno, parent=attr)


def _comment_of(attr: griffe.Attribute) -> str:
    """The comment at the end of a field, or else the lines of comment above it."""
    assert isinstance(attr.filepath, Path)
    assert attr.lineno
    beside, alone = _comments(attr.filepath)
    lines = range(attr.lineno, (attr.endlineno or attr.lineno) + 1)
    found = [beside[line] for line in lines if line in beside]
    line = attr.lineno - 1
    while not any(number in beside for number in lines) and line in alone:
        found.insert(0, alone[line])
        line -= 1
    text = " ".join(found)
    quotation = "\\" if text.startswith(">") else ""
    return quotation + text[:1].upper() + text[1:]


@functools.cache
def _comments(path: Path) -> tuple[dict[int, str], dict[int, str]]:
    """Comments by line: those beside code, and those that have a line of their own."""
    beside: dict[int, str] = {}
    alone: dict[int, str] = {}
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.COMMENT:
                kind = beside if token.line[: token.start[1]].strip() else alone
                kind[token.start[0]] = token.string.lstrip("# ")
    return beside, alone
