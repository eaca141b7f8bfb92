"""A checkpoint's voices (three .npy files each) or Suno's presets (.npz) to those of a bundle."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bark_onnx.export.checkpoint import VOICE_INDEX_NAME, Checkpoint
from bark_onnx.export.files import read_json
from bark_onnx.graphs.errors import VoiceError
from bark_onnx.graphs.voices import Voice, is_voice_name

ALL = "all"
NONE = "none"

_KEYS = ("semantic_prompt", "coarse_prompt", "fine_prompt")
_FIRST_ARRAY = "_semantic_prompt.npy"

Voices = dict[str, Callable[[], Voice]]


def convert_voices(checkpoint: Checkpoint, selection: str, target: Path) -> list[str]:
    """Write the chosen voices as .npz files.

    Args:
        checkpoint: whose `speaker_embeddings`, or presets in their place, to convert.
        selection: "all", "none", or names with commas between them.
        target: the folder that receives NAME.npz.

    Returns:
        The names written.

    Raises:
        VoiceError: a chosen voice does not exist or is malformed.
        CheckpointError: the checkpoint's index of voices is malformed.
    """
    if checkpoint.presets is None:
        voices, where = _indexed(checkpoint.folder), "the checkpoint"
    else:
        voices, where = find_presets(checkpoint.presets), str(checkpoint.presets)
    for name in (names := _selected(voices, selection, where)):
        if not is_voice_name(name):
            raise VoiceError(f'Voice "{name}": expected a name, with at most one folder before it')
        voice = voices[name]()
        voice.check(checkpoint.generation)
        path = target / f"{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        voice.save(path)
    return names


def find_presets(folder: Path) -> Voices:
    """The voices in a folder and in the folders inside it, by name.

    Args:
        folder: has Suno's .npz files, as `bark/assets/prompts` does; or the .npy files of
            `speaker_embeddings` in the Hugging Face layout; or the index of these.

    Raises:
        VoiceError: it is no folder, or there is no voice in it.
        CheckpointError: its index of voices is malformed.
    """
    if not folder.is_dir():
        raise VoiceError(f"{folder}: no such folder; expected Suno's voices as .npz")
    voices = _indexed(folder)
    if not voices:
        for path in _visible(folder, "*.npz"):
            voices[_name(folder, path.with_suffix(""))] = partial(Voice.load, path)
        for path in _visible(folder, f"*{_FIRST_ARRAY}"):
            name = _name(folder, path.with_name(path.name.removesuffix(_FIRST_ARRAY)))
            files = {key: f"{name}_{key}.npy" for key in _KEYS}
            voices.setdefault(name, partial(_read_voice, folder, name, files))
    if not voices:
        raise VoiceError(
            f"{folder}: no voices; expected Suno's .npz files or speaker_embeddings of a "
            "Hugging Face checkpoint, here or in folders inside"
        )
    return voices


def _visible(folder: Path, pattern: str) -> list[Path]:
    """Files that match, here or one folder down, but for the hidden ones."""
    found = [*folder.glob(pattern), *folder.glob(f"*/{pattern}")]
    return [
        path
        for path in found
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _indexed(folder: Path) -> Voices:
    return {
        name: partial(_read_voice, folder, name, files)
        for name, files in _read_index(folder).items()
    }


def _read_index(folder: Path) -> dict[str, dict[str, str]]:
    path = folder / VOICE_INDEX_NAME
    if not path.is_file():
        return {}
    return {name: files for name, files in read_json(path).items() if isinstance(files, dict)}


def _selected(voices: Voices, selection: str, where: str) -> list[str]:
    if selection == NONE:
        return []
    if selection == ALL:
        return sorted(voices)
    names: Sequence[str] = [name.strip() for name in selection.split(",") if name.strip()]
    for name in names:
        if name not in voices:
            nearest = get_close_matches(name, voices, n=3) or sorted(voices)[:3]
            known = (
                f"nearest: {', '.join(nearest)}"
                if nearest
                else "it has no voices, --voices-from can"
            )
            raise VoiceError(f'Voice "{name}" is not in {where}; {known}')
    return list(dict.fromkeys(names))


def _read_voice(folder: Path, name: str, files: dict[str, str]) -> Voice:
    return Voice.from_arrays(_read_arrays(folder, name, files), name=name)


def _read_arrays(folder: Path, name: str, files: dict[str, str]) -> dict[str, Any]:
    arrays = {}
    for key, relative in files.items():
        if not isinstance(relative, str):
            raise VoiceError(f'Voice "{name}": {key} is {relative!r}, expected the path of a file')
        if Path(relative).is_absolute() or ".." in Path(relative).parts:
            raise VoiceError(f'Voice "{name}": {relative!r} lies outside the checkpoint')
        try:
            arrays[key] = np.load(folder / relative, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            reason = str(error).strip().splitlines()[0]
            raise VoiceError(f'Voice "{name}": {relative} is not readable ({reason})') from error
    return arrays
