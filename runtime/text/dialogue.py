"""Splits a dialogue into turns by the names of its speakers."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from bark_onnx.graphs.errors import TextError
from bark_onnx.runtime.text.checks import check_text


@dataclass(frozen=True)
class Turn:
    """Consecutive text of one speaker."""

    speaker: str  # empty before the first name
    text: str


def split_turns(text: str, names: Collection[str]) -> list[Turn]:
    """Split a text at lines that begin with a name and a colon; names and colons are omitted.

    Other lines, also those with another prefix, as "Note:", belong to the speaker before them.
    Without names the text is one turn, unchanged.

    Raises:
        TextError: A speaker has no line, or the text is not a string.
    """
    check_text(text)
    if not names:
        return [Turn("", text)]
    any_name = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    pattern = rf"^[^\S\n]*({any_name})[^\S\n]*[:：]"  # noqa: RUF001 (as in Chinese and Japanese)
    before, *rest = re.split(pattern, text, flags=re.MULTILINE)
    turns = [Turn("", before)]
    turns += [Turn(*turn) for turn in zip(rest[::2], rest[1::2], strict=True)]
    turns = [Turn(turn.speaker, turn.text.strip()) for turn in turns if turn.text.strip()]
    speaking = {turn.speaker for turn in turns}
    for name in names:
        if name not in speaking:
            raise TextError(f'"{name}" has no line; expected a line that begins with "{name}:"')
    return turns
