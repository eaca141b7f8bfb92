"""Tokenizers and voices that complete or replace those of a checkpoint."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bark_onnx.export.checkpoints.checkpoint import Checkpoint, open_checkpoint
from bark_onnx.export.checkpoints.sources import SourceOptions, open_source
from bark_onnx.export.checkpoints.voices import convert_voices
from bark_onnx.graphs.errors import CheckpointError, VoiceError
from bark_onnx.graphs.voices.voice import Voice
from tests.conftest import SHARED, needs_shared_data
from tests.support.exporting import Run, assert_run_fails, put_in_cache
from tests.support.messages import assert_one_line
from tests.support.suno import VOCABULARY, Twins

BERT = "google-bert/bert-base-multilingual-cased"


def suno(twins: Twins, *, tokenizer: Path | None = None, voices: Path | None = None) -> Checkpoint:
    options = SourceOptions(
        codec=str(twins.codec), tokenizer=tokenizer and str(tokenizer), voices_from=voices
    )
    return open_source(str(twins.suno), options)


# Tokenizers


def test_suno_files_use_the_multilingual_tokenizer_of_the_hub(
    cache: Path, twins: Twins, tmp_path: Path
) -> None:
    files = tmp_path / "files"
    shutil.copytree(twins.tokenizer, files)
    (files / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    (files / "model.safetensors").write_text("not downloaded")
    put_in_cache(cache, BERT, files)
    tokenizer = suno(twins).read_tokenizer()
    assert tokenizer.get_vocab_size() == VOCABULARY
    assert tokenizer.encode("Hello hello", add_special_tokens=False).tokens == ["Hello", "hello"]


def test_export_names_the_tokenizer_option_without_a_connection(
    run: Run, cache: Path, twins: Twins, tmp_path: Path
) -> None:
    result = run(twins.suno, tmp_path / "b", "--codec", twins.codec)
    words = (BERT, "not in the local cache", f"hf download {BERT}", "that folder with --tokenizer")
    assert_run_fails(result, 1, *words)
    assert not (tmp_path / "b").exists()


def test_vocabulary_alone_keeps_the_case_of_text(twins: Twins) -> None:
    assert [path.name for path in twins.tokenizer.iterdir()] == ["vocab.txt"]
    tokenizer = suno(twins, tokenizer=twins.tokenizer).read_tokenizer()
    assert tokenizer.encode("Hello hello", add_special_tokens=False).tokens == ["Hello", "hello"]


@needs_shared_data
def test_suno_vocabulary_alone_gives_the_known_ids(twins: Twins) -> None:
    tokenizer = suno(twins, tokenizer=SHARED / "tokenizer").read_tokenizer()
    found = tokenizer.encode("Hello, my dog is cute", add_special_tokens=False).ids
    assert found == [31178, 117, 15127, 17835, 10124, 21610, 10112]


def test_tokenizer_of_another_model_is_refused(
    run: Run, twins: Twins, random_checkpoint: Path, tmp_path: Path
) -> None:
    arguments = ("--codec", twins.codec, "--tokenizer", random_checkpoint)
    result = run(twins.suno, tmp_path / "b", *arguments)
    assert_run_fails(result, 1, str(random_checkpoint), "entries", f"reads {VOCABULARY}", BERT)


@pytest.mark.parametrize(
    ("name", "fault"), [("nowhere", "no such folder"), ("vocab.txt", "is a file")]
)
def test_tokenizer_is_refused_when_it_is_not_a_folder(
    run: Run, twins: Twins, tmp_path: Path, name: str, fault: str
) -> None:
    path = twins.tokenizer / name
    result = run(twins.suno, tmp_path / "b", "--codec", twins.codec, "--tokenizer", path)
    assert_run_fails(result, 1, str(path), fault, BERT)


def test_tokenizer_replaces_that_of_the_hugging_face_layout(
    random_checkpoint: Path, tmp_path: Path
) -> None:
    words = (random_checkpoint / "vocab.txt").read_text().replace("\na\n", "\nå\n")
    (tmp_path / "vocab.txt").write_text(words)
    given = open_source(str(random_checkpoint), SourceOptions(tokenizer=str(tmp_path)))
    own = open_source(str(random_checkpoint), SourceOptions())
    assert "å" in given.read_tokenizer().get_vocab()
    assert "å" not in own.read_tokenizer().get_vocab()


# Voices


def preset(seed: int) -> Voice:
    rng = np.random.default_rng(seed)
    fine = rng.integers(0, 1024, (8, 20))
    return Voice(rng.integers(0, 10_000, 13), fine[:2], fine)


@pytest.fixture
def presets(tmp_path: Path) -> Path:
    """A folder as Suno's bark/assets/prompts."""
    folder = tmp_path / "prompts"
    (folder / "v2").mkdir(parents=True)
    for seed, name in enumerate(("announcer", "en_speaker_0", "v2/en_speaker_0")):
        preset(seed).save(folder / f"{name}.npz")
    for name in ("readme.md", "announcer.wav", ".hidden.npz", "v2/.hidden.npz"):
        (folder / name).write_text("no voice")
    return folder


def converted(checkpoint: Checkpoint, target: Path, selection: str = "all") -> dict[str, Voice]:
    names = convert_voices(checkpoint, selection, target)
    return {name: Voice.load(target / f"{name}.npz") for name in names}


def assert_same_voice(found: Voice, expected: Voice) -> None:
    for key in ("semantic_prompt", "coarse_prompt", "fine_prompt"):
        np.testing.assert_array_equal(getattr(found, key), getattr(expected, key))


def test_suno_presets_keep_their_names_as_voices(
    twins: Twins, presets: Path, tmp_path: Path
) -> None:
    voices = converted(suno(twins, voices=presets), tmp_path / "voices")
    assert list(voices) == ["announcer", "en_speaker_0", "v2/en_speaker_0"]
    for seed, voice in enumerate(voices.values()):
        assert_same_voice(voice, preset(seed))


@needs_shared_data
def test_real_presets_are_converted(twins: Twins, tmp_path: Path) -> None:
    voices = converted(suno(twins, voices=SHARED / "voices"), tmp_path / "voices")
    assert len(voices) == 12
    assert_same_voice(voices["announcer"], Voice.load(SHARED / "voices" / "announcer.npz"))


def test_only_selected_presets_are_converted(twins: Twins, presets: Path, tmp_path: Path) -> None:
    voices = converted(suno(twins, voices=presets), tmp_path / "voices", "v2/en_speaker_0")
    assert list(voices) == ["v2/en_speaker_0"]
    assert_same_voice(voices["v2/en_speaker_0"], preset(2))


@pytest.mark.parametrize("inside", [".", "speaker_embeddings"])
def test_speaker_embeddings_are_converted_with_and_without_their_index(
    twins: Twins, tmp_path: Path, inside: str
) -> None:
    given = twins.huggingface / inside
    assert (given / "speaker_embeddings_path.json").is_file() == (inside == ".")
    voices = converted(suno(twins, voices=given), tmp_path / "voices")
    own = converted(open_checkpoint(str(twins.huggingface)), tmp_path / "own")
    assert list(voices) == list(own) == ["v2/en_speaker_0"]
    assert_same_voice(voices["v2/en_speaker_0"], own["v2/en_speaker_0"])


def test_presets_replace_the_voices_of_a_checkpoint(
    random_checkpoint: Path, presets: Path, tmp_path: Path
) -> None:
    checkpoint = open_source(str(random_checkpoint), SourceOptions(voices_from=presets))
    voices = converted(checkpoint, tmp_path / "voices")
    assert list(voices) == ["announcer", "en_speaker_0", "v2/en_speaker_0"]
    assert_same_voice(voices["v2/en_speaker_0"], preset(2))


def test_suno_files_have_no_voices(twins: Twins, tmp_path: Path) -> None:
    assert converted(suno(twins), tmp_path / "voices") == {}
    with pytest.raises(VoiceError) as caught:
        converted(suno(twins), tmp_path / "voices", "v2/en_speaker_6")
    assert_one_line(caught.value, "v2/en_speaker_6", "no voices", "--voices-from")


def refuse(run: Run, twins: Twins, tmp_path: Path, *arguments: object, words: tuple[str, ...]):
    assert_run_fails(run(twins.suno, tmp_path / "b", *twins.arguments, *arguments), 1, *words)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("nowhere", "no such folder"),
        ("vocab.txt", "is a file; expected a folder"),
        ("a" * 300, "File name too long"),
    ],
)
def test_missing_folder_of_voices_is_refused(
    run: Run, twins: Twins, tmp_path: Path, name: str, fault: str
) -> None:
    path = twins.tokenizer / name
    words = (str(twins.tokenizer), fault)
    refuse(run, twins, tmp_path, "--voices-from", path, words=words)


def test_folder_is_refused_without_voices(run: Run, twins: Twins, tmp_path: Path) -> None:
    words = (str(twins.tokenizer), "no voices", ".npz", "speaker_embeddings")
    refuse(run, twins, tmp_path, "--voices-from", twins.tokenizer, words=words)


def test_unknown_preset_raises_with_the_nearest(
    run: Run, twins: Twins, presets: Path, tmp_path: Path
) -> None:
    arguments = ("--voices-from", presets, "--voices", "v2/en_speaker_1")
    words = ('"v2/en_speaker_1" is not in', str(presets), "v2/en_speaker_0")
    refuse(run, twins, tmp_path, *arguments, words=words)


def test_damaged_preset_is_named(run: Run, twins: Twins, presets: Path, tmp_path: Path) -> None:
    (presets / "announcer.npz").write_bytes(b"PK\x03\x04")
    words = (str(presets / "announcer.npz"), "not a voice")
    refuse(run, twins, tmp_path, "--voices-from", presets, words=words)


def test_speaker_embeddings_are_named_when_an_array_is_missing(
    run: Run, twins: Twins, tmp_path: Path
) -> None:
    folder = shutil.copytree(twins.huggingface / "speaker_embeddings", tmp_path / "speakers")
    (folder / "v2" / "en_speaker_0_fine_prompt.npy").unlink()
    words = ('"v2/en_speaker_0"', "v2/en_speaker_0_fine_prompt.npy", "is missing")
    refuse(run, twins, tmp_path, "--voices-from", folder, words=words)


def test_voices_none_contradicts_voices_from(
    run: Run, twins: Twins, presets: Path, tmp_path: Path
) -> None:
    arguments = ("--voices-from", presets, "--voices", "none")
    words = ("--voices none", "--voices-from", "give one of the two")
    refuse(run, twins, tmp_path, *arguments, words=words)


def test_size_is_refused_without_suno_files(random_checkpoint: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        open_source(str(random_checkpoint), SourceOptions(size="large"))
    assert_one_line(caught.value, "--size large", "Suno's .pt files", "omit --size")
