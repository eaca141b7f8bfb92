"""Folders of published voices: Suno's .npz presets, and Hugging Face's .npy files.

Voices are found by name, and each is read on demand.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bark_onnx.graphs.errors import VoiceError
from bark_onnx.graphs.files.dataclass_json import read_json
from bark_onnx.graphs.files.hub import lies_within
from bark_onnx.graphs.files.regular_file import is_folder, not_a_folder
from bark_onnx.graphs.voices.npz import read_npy
from bark_onnx.graphs.voices.voice import Voice

VOICE_INDEX_NAME = "speaker_embeddings_path.json"

_KEYS = ("semantic_prompt", "coarse_prompt", "fine_prompt")
_FIRST_ARRAY = "_semantic_prompt.npy"

Voices = dict[str, Callable[[], Voice]]


def find_presets(folder: Path) -> Voices:
    """The voices in a folder and its subfolders, by name.

    Args:
        folder: Folder with Suno's .npz files, as `bark/assets/prompts`; or with the .npy files of
            `speaker_embeddings` in the Hugging Face layout; or with the index of these.

    Raises:
        VoiceError: The folder is missing, has no voices, or links to a voice outside.
        CheckpointError: The index of voices is malformed.
    """
    if not is_folder(folder, VoiceError):
        raise VoiceError(
            f"{not_a_folder(folder)}; expected a folder with Suno's voices as .npz, or with those "
            "of a Hugging Face checkpoint"
        )
    voices = find_indexed(folder)
    if not voices:
        for path in _visible(folder, "*.npz"):
            name = _name(folder, path.with_suffix(""))
            voices[name] = partial(Voice.load, path, name=str(path))
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


def find_indexed(folder: Path) -> Voices:
    """The voices in the index of a checkpoint in the Hugging Face layout, by name.

    Raises:
        CheckpointError: The index is malformed.
    """
    path = folder / VOICE_INDEX_NAME
    if not path.is_file():
        return {}
    return {
        name: partial(_read_voice, folder, name, files)
        for name, files in read_json(path).items()
        if isinstance(files, dict)
    }


def _visible(folder: Path, pattern: str) -> list[Path]:
    """Files that match in a folder and its subfolders, without hidden ones."""
    found = [
        path
        for path in (*folder.glob(pattern), *folder.glob(f"*/{pattern}"))
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    for path in found:
        if not lies_within(path, folder):
            raise VoiceError(f"{path} is a link out of {folder}; put the file itself there")
    return found


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _read_voice(folder: Path, name: str, files: dict[str, Any]) -> Voice:
    arrays = {key: _read_array(folder, name, key, files[key]) for key in _KEYS if key in files}
    return Voice.from_arrays(arrays, name=name)


def _read_array(folder: Path, name: str, key: str, relative: Any) -> Any:
    where = f'Voice "{name}"'
    if not isinstance(relative, str):
        raise VoiceError(f"{where}: {key} is {relative!r}, expected the path of a file")
    if Path(relative).is_absolute() or ".." in Path(relative).parts:
        raise VoiceError(f"{where}: {relative!r} lies outside the checkpoint")
    path = folder / relative
    if not lies_within(path, folder):
        raise VoiceError(f"{where}: {relative!r} is a link that leads outside the checkpoint")
    return read_npy(path, name=f"{where}: {relative}")
