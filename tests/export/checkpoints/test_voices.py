"""Conversion of a checkpoint's speaker embeddings: selection, and files that are refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bark_onnx.export.checkpoints.checkpoint import Checkpoint, open_checkpoint
from bark_onnx.export.checkpoints.voices import convert_voices
from bark_onnx.graphs.errors import BarkError, CheckpointError, VoiceError
from bark_onnx.graphs.voices.voice import Voice
from tests.support.messages import assert_one_line

INDEX = "speaker_embeddings_path.json"
NAMES = ["announcer", "v2/en_speaker_0", "v2/en_speaker_6", "v2/fr_speaker_5"]


@pytest.fixture
def checkpoint(random_checkpoint: Path, tmp_path: Path) -> Checkpoint:
    """A checkpoint with four voices that a test may change."""
    folder = tmp_path / "checkpoint"
    shutil.copytree(
        random_checkpoint, folder, ignore=shutil.ignore_patterns("*.safetensors", "speaker_*")
    )
    index: dict[str, Any] = {"repo_or_path": "suno/bark"}
    for seed, name in enumerate(NAMES):
        rng = np.random.default_rng(seed)
        fine = rng.integers(0, 1024, (8, 20 + seed)).astype(np.int32)
        index[name] = {
            key: store(folder, f"speaker_embeddings/{name}_{key}.npy", array)
            for key, array in (
                ("semantic_prompt", rng.integers(0, 10_000, 13)),
                ("coarse_prompt", fine[:2].astype(np.int64)),
                ("fine_prompt", fine),
            )
        }
    (folder / INDEX).write_text(json.dumps(index))
    return open_checkpoint(str(folder))


def store(folder: Path, relative: str, array: Any) -> str:
    path = folder / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)
    return relative


def change_index(checkpoint: Checkpoint, **voices: dict[str, str]) -> None:
    path = checkpoint.folder / INDEX
    path.write_text(json.dumps({**json.loads(path.read_text()), **voices}))


def written(target: Path) -> list[str]:
    return sorted(path.relative_to(target).as_posix() for path in target.rglob("*.npz"))


def refuse(
    checkpoint: Checkpoint,
    selection: str,
    *words: str,
    error: type[BarkError] = VoiceError,
) -> None:
    target = checkpoint.folder.parent / "voices"
    with pytest.raises(error) as caught:
        convert_voices(checkpoint, selection, target)
    assert_one_line(caught.value, *words)


def test_all_voices_are_converted(checkpoint: Checkpoint, tmp_path: Path) -> None:
    assert convert_voices(checkpoint, "all", tmp_path / "voices") == NAMES
    assert written(tmp_path / "voices") == [f"{name}.npz" for name in NAMES]


def test_selection_none_writes_no_voice(checkpoint: Checkpoint, tmp_path: Path) -> None:
    assert convert_voices(checkpoint, "none", tmp_path / "voices") == []
    assert written(tmp_path / "voices") == []


def test_only_selected_voices_are_converted(checkpoint: Checkpoint, tmp_path: Path) -> None:
    chosen = "v2/fr_speaker_5, announcer,v2/fr_speaker_5,"
    names = convert_voices(checkpoint, chosen, tmp_path / "voices")
    assert sorted(names) == ["announcer", "v2/fr_speaker_5"]
    assert written(tmp_path / "voices") == ["announcer.npz", "v2/fr_speaker_5.npz"]


def test_written_voice_equals_its_arrays(checkpoint: Checkpoint, tmp_path: Path) -> None:
    convert_voices(checkpoint, "all", tmp_path / "voices")
    for name in NAMES:
        voice = Voice.load(tmp_path / "voices" / f"{name}.npz")
        for key in ("semantic_prompt", "coarse_prompt", "fine_prompt"):
            array = np.load(checkpoint.folder / f"speaker_embeddings/{name}_{key}.npy")
            np.testing.assert_array_equal(getattr(voice, key), array)
            assert getattr(voice, key).dtype == np.int64


def test_checkpoint_has_no_voices_without_an_index(checkpoint: Checkpoint, tmp_path: Path) -> None:
    (checkpoint.folder / INDEX).unlink()
    assert convert_voices(checkpoint, "all", tmp_path / "voices") == []
    refuse(checkpoint, "announcer", '"announcer"', "no voices")


def test_unknown_voice_raises_with_the_nearest(checkpoint: Checkpoint) -> None:
    refuse(checkpoint, "v2/en_speaker_66", '"v2/en_speaker_66"', "nearest", "v2/en_speaker_6")


def test_name_is_not_resolved_as_a_path(checkpoint: Checkpoint) -> None:
    refuse(checkpoint, "../announcer", '"../announcer" is not in the checkpoint')


@pytest.mark.parametrize("path", ["../outside.npy", "speaker_embeddings/../../outside.npy"])
def test_array_outside_the_checkpoint_is_refused(checkpoint: Checkpoint, path: str) -> None:
    np.save(checkpoint.folder.parent / "outside.npy", np.arange(3))
    files = json.loads((checkpoint.folder / INDEX).read_text())["announcer"]
    change_index(checkpoint, announcer={**files, "semantic_prompt": path})
    refuse(checkpoint, "announcer", '"announcer"', path, "outside the checkpoint")


def test_absolute_path_of_an_array_is_refused(checkpoint: Checkpoint) -> None:
    path = checkpoint.folder / "speaker_embeddings" / "announcer_semantic_prompt.npy"
    files = json.loads((checkpoint.folder / INDEX).read_text())["announcer"]
    change_index(checkpoint, announcer={**files, "semantic_prompt": str(path)})
    refuse(checkpoint, "announcer", str(path), "outside the checkpoint")


@pytest.mark.parametrize("name", ["../escaped", "/escaped", "a/b/escaped", "..", "v2/../escaped"])
def test_voice_name_that_leaves_the_folder_is_refused(checkpoint: Checkpoint, name: str) -> None:
    index = json.loads((checkpoint.folder / INDEX).read_text())
    change_index(checkpoint, **{name: index["announcer"]})
    refuse(checkpoint, "all", f'"{name}"', "expected a name")
    assert not list(checkpoint.folder.parent.rglob("escaped*"))


def test_missing_array_is_named(checkpoint: Checkpoint) -> None:
    relative = "speaker_embeddings/announcer_fine_prompt.npy"
    (checkpoint.folder / relative).unlink()
    refuse(checkpoint, "all", '"announcer"', f"{relative} is missing", "get the file again")


def test_pickled_array_is_refused_and_not_unpickled(checkpoint: Checkpoint) -> None:
    class Malice:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (checkpoint.folder / "code-was-run",)

    relative = "speaker_embeddings/announcer_fine_prompt.npy"
    np.save(checkpoint.folder / relative, np.array([Malice()], object), allow_pickle=True)
    refuse(checkpoint, "all", '"announcer"', relative, "not readable")
    assert not (checkpoint.folder / "code-was-run").exists()


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"no array at all"])
def test_damaged_array_is_named(checkpoint: Checkpoint, content: bytes) -> None:
    relative = "speaker_embeddings/announcer_coarse_prompt.npy"
    (checkpoint.folder / relative).write_bytes(content)
    refuse(checkpoint, "all", '"announcer"', relative, "not readable")


@pytest.mark.parametrize(
    ("key", "array", "words"),
    [
        ("semantic_prompt", np.array([10_000]), ("10000", "below 10000")),
        ("semantic_prompt", np.array([0.5]), ("float64", "expected integers")),
        ("semantic_prompt", np.array([-1]), ("-1", "from 0")),
        ("coarse_prompt", np.zeros((3, 20), np.int64), ("(3, 20)", "(2, frames)")),
        ("fine_prompt", np.full((8, 20), 1024), ("1024", "below 1024")),
        ("fine_prompt", np.zeros((8, 19), np.int64), ("20 frames", "19")),
        ("fine_prompt", np.zeros((8, 0), np.int64), ("(8, 0)", "at least one token")),
    ],
)
def test_array_that_bark_cannot_continue_is_refused(
    checkpoint: Checkpoint, key: str, array: Any, words: tuple[str, ...]
) -> None:
    store(checkpoint.folder, f"speaker_embeddings/announcer_{key}.npy", array)
    refuse(checkpoint, "announcer", '"announcer"', *words)


def test_voice_is_refused_without_one_of_its_arrays(checkpoint: Checkpoint) -> None:
    files = json.loads((checkpoint.folder / INDEX).read_text())["announcer"]
    del files["coarse_prompt"]
    change_index(checkpoint, announcer=files)
    refuse(checkpoint, "announcer", '"announcer"', "coarse_prompt is missing")


def test_array_path_is_refused_when_it_is_not_text(checkpoint: Checkpoint) -> None:
    files = json.loads((checkpoint.folder / INDEX).read_text())["announcer"]
    change_index(checkpoint, announcer={**files, "fine_prompt": 5})  # type: ignore[dict-item]
    refuse(checkpoint, "announcer", '"announcer"', "fine_prompt")


@pytest.mark.parametrize(
    ("content", "found"), [("{", "not readable as JSON"), ("[]", "the JSON is []")]
)
def test_malformed_index_is_refused(checkpoint: Checkpoint, content: str, found: str) -> None:
    (checkpoint.folder / INDEX).write_text(content)
    refuse(checkpoint, "all", INDEX, found, error=CheckpointError)
