"""Other names for voices and the model: OpenAI's, or for voices those of a JSON file."""

import json
import re
from pathlib import Path

from bark_onnx.graphs.errors import OptionsError
from bark_onnx.graphs.files.atomic_write import wrap_os_errors
from bark_onnx.graphs.files.dataclass_json import shown
from bark_onnx.runtime.voices.aliases import language_of

# OpenAI's voices, and the voices of Suno that stand in for them.
OPENAI_VOICES = {
    "alloy": "v2/en_speaker_6",
    "ash": "v2/en_speaker_3",
    "ballad": "v2/en_speaker_2",
    "cedar": "v2/en_speaker_6",
    "coral": "v2/en_speaker_9",
    "echo": "v2/en_speaker_0",
    "fable": "v2/en_speaker_1",
    "marin": "v2/en_speaker_9",
    "nova": "v2/en_speaker_9",
    "onyx": "v2/en_speaker_8",
    "sage": "v2/en_speaker_4",
    "shimmer": "v2/en_speaker_5",
    "verse": "v2/en_speaker_7",
}

# OpenAI's names of models that speak, as their client lists them.
OPENAI_MODELS = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts", "gpt-4o-mini-tts-2025-12-15")
_SNAPSHOT = re.compile(r"(tts-1|tts-1-hd|gpt-4o-mini-tts)-([0-9]{4}|[0-9]{4}-[0-9]{2}-[0-9]{2})")


def is_openai_model(name: str) -> bool:
    """Whether a name is that of one of OpenAI's models, or of a dated snapshot of one."""
    return name in OPENAI_MODELS or _SNAPSHOT.fullmatch(name) is not None


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
        raise OptionsError(f"{path}: found {shown(table)}, expected an object")
    for alias, target in table.items():
        if target is not None and not isinstance(target, str):
            raise OptionsError(f"{path}: {alias!r} is {target!r}, expected a voice's name or null")
    return table


def openai_aliases(names: list[str]) -> dict[str, str | None]:
    """Map OpenAI's names to a bundle's presets: those above, or, where missing, others in turn.

    A voice that is not named like a preset of Suno's may be private, and gets no further name. In
    a bundle without presets, OpenAI's names let the model choose.
    """
    languages = {name: found.code for name in names if (found := language_of(name)) is not None}
    others = [name for name, code in languages.items() if code == "en"] or [*languages]
    return {
        alias: target if target in names else others[index % len(others)] if others else None
        for index, (alias, target) in enumerate(OPENAI_VOICES.items())
        if alias not in names
    }
