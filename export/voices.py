"""A checkpoint's speaker embeddings (three .npy files a voice) to the voices of a bundle."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from bark_onnx.export.checkpoint import VOICE_INDEX_NAME, Checkpoint
from bark_onnx.export.files import read_json
from bark_onnx.graphs.errors import VoiceError
from bark_onnx.graphs.voices import Voice, is_voice_name

ALL = "all"
NONE = "none"


def convert_voices(checkpoint: Checkpoint, selection: str, target: Path) -> list[str]:
    """Write the chosen voices as .npz files.

    Args:
        checkpoint: whose `speaker_embeddings` to convert.
        selection: "all", "none", or names with commas between them.
        target: the folder that receives NAME.npz.

    Returns:
        The names written.

    Raises:
        VoiceError: a chosen voice does not exist or is malformed.
        CheckpointError: the checkpoint's index of voices is malformed.
    """
    index = _read_index(checkpoint.folder)
    for name in (names := _selected(index, selection)):
        voice = Voice.from_arrays(_read_arrays(checkpoint.folder, name, index[name]), name=name)
        voice.check(checkpoint.generation)
        path = target / f"{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        voice.save(path)
    return names


def _read_index(folder: Path) -> dict[str, dict[str, str]]:
    path = folder / VOICE_INDEX_NAME
    if not path.is_file():
        return {}
    return {name: files for name, files in read_json(path).items() if isinstance(files, dict)}


def _selected(index: dict[str, Any], selection: str) -> list[str]:
    if selection == NONE:
        return []
    if selection == ALL:
        return sorted(index)
    names: Sequence[str] = [name.strip() for name in selection.split(",") if name.strip()]
    for name in names:
        if name not in index:
            nearest = get_close_matches(name, index, n=3) or sorted(index)[:3]
            known = f"nearest: {', '.join(nearest)}" if nearest else "it has no voices"
            raise VoiceError(f'Voice "{name}" is not in the checkpoint; {known}')
    return list(dict.fromkeys(names))


def _read_arrays(folder: Path, name: str, files: dict[str, str]) -> dict[str, Any]:
    if not is_voice_name(name):
        raise VoiceError(f'Voice "{name}": expected a name, with at most one folder before it')
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
