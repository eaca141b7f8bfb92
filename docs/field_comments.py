"""Griffe extension: the comment beside a dataclass field is the field's documentation.

Options are documented by one comment per field, which griffe alone does not read.
"""

import re
from typing import Any

import griffe

_COMMENT = re.compile(r"#\s*(.*)$")


class FieldComments(griffe.Extension):
    """Turn comments of annotated attributes into docstrings."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Document one attribute, unless it has a docstring."""
        if attr.docstring is None and attr.lineno and attr.parent and attr.parent.is_class:
            comment = _comment_of(attr.filepath.read_text("utf-8").splitlines(), attr)  # type: ignore[union-attr]
            if comment:
                attr.docstring = griffe.Docstring(comment, lineno=attr.lineno, parent=attr)


def _comment_of(lines: list[str], attr: griffe.Attribute) -> str:
    """The comment at the end of the field, or the lines of comment above it."""
    first, last = attr.lineno or 1, attr.endlineno or attr.lineno or 1
    beside = [found[1] for line in lines[first - 1 : last] if (found := _COMMENT.search(line))]
    above: list[str] = []
    for line in reversed(lines[: first - 1]):
        if not line.strip().startswith("#"):
            break
        above.insert(0, line.strip().lstrip("# "))
    text = " ".join(beside or above)
    if text.startswith(">"):  # not a quotation
        text = "\\" + text
    return text[:1].upper() + text[1:]
