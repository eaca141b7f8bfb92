"""A text as it can be shown to people: on one line, of limited length, harmless to a terminal."""


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
