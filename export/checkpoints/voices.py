"""Converts a checkpoint's voices (three .npy files each) or Suno's presets (.npz) for a bundle."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from bark_onnx.export.checkpoints.checkpoint import Checkpoint
from bark_onnx.graphs.errors import VoiceError
from bark_onnx.graphs.voices.presets import Voices, find_indexed, find_presets
from bark_onnx.graphs.voices.voice import is_voice_name

ALL = "all"
NONE = "none"


def convert_voices(checkpoint: Checkpoint, selection: str, target: Path) -> list[str]:
    """Write the selected voices as .npz files.

    Args:
        checkpoint: Checkpoint with `speaker_embeddings`, or presets in their place.
        selection: "all", "none", or names separated by commas.
        target: Folder for NAME.npz.

    Returns:
        Names of the written voices.

    Raises:
        VoiceError: A selected voice does not exist or is malformed.
        CheckpointError: The checkpoint's index of voices is malformed.
    """
    if checkpoint.presets is None:
        voices, where = find_indexed(checkpoint.folder), "the checkpoint"
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
                else "it has no voices; give some with --voices-from"
            )
            raise VoiceError(f'Voice "{name}" is not in {where}; {known}')
    return list(dict.fromkeys(names))
