"""Other names for voices: OpenAI's, or those of a JSON file."""

import json
from pathlib import Path

from bark_onnx.graphs.errors import OptionsError
from bark_onnx.graphs.files.atomic_write import wrap_os_errors

# OpenAI's voices, and the voices of Suno that stand in for them.
OPENAI_VOICES = {
    "alloy": "v2/en_speaker_6",
    "ash": "v2/en_speaker_3",
    "ballad": "v2/en_speaker_2",
    "coral": "v2/en_speaker_9",
    "echo": "v2/en_speaker_0",
    "fable": "v2/en_speaker_1",
    "nova": "v2/en_speaker_9",
    "onyx": "v2/en_speaker_8",
    "sage": "v2/en_speaker_4",
    "shimmer": "v2/en_speaker_5",
    "verse": "v2/en_speaker_7",
}


def read_aliases(path: Path) -> dict[str, str | None]:
    """Read an alias table: a JSON object of names, each with the name of a voice or null.

    Raises:
        OptionsError: The file cannot be read, or is malformed.
    """
    try:
        with wrap_os_errors(OptionsError, f"{path}: cannot be read"):
            table = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise OptionsError(f"{path}: not JSON ({error})") from error
    if not isinstance(table, dict):
        raise OptionsError(f"{path}: found a {type(table).__name__}, expected an object")
    for alias, target in table.items():
        if target is not None and not isinstance(target, str):
            raise OptionsError(f"{path}: {alias!r} is {target!r}, expected a voice's name or null")
    return table


def openai_aliases(names: list[str]) -> dict[str, str | None]:
    """Map OpenAI's names to a bundle's voices: Suno's, or, where missing, its own in turn."""
    return {
        alias: (target if target in names else names[index % len(names)]) if names else None
        for index, (alias, target) in enumerate(OPENAI_VOICES.items())
        if alias not in names
    }
