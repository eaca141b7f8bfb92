"""Hub ids, from a cache in the layout of the hub's client, without a network."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bark_onnx.export.checkpoints.checkpoint import open_checkpoint
from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.errors import BundleError, CheckpointError
from bark_onnx.runtime import Bark, GenerationOptions, VoiceError
from bark_onnx.runtime.voices.library import VoiceLibrary
from tests.support.exporting import put_in_cache
from tests.support.messages import assert_one_line

ABSENT = "suno/bark-absent"


def test_checkpoint_loads_by_its_hub_id(cache: Path, random_checkpoint: Path) -> None:
    put_in_cache(cache, "suno/tiny", random_checkpoint)
    found, expected = open_checkpoint("suno/tiny"), open_checkpoint(str(random_checkpoint))
    assert found.source == "suno/tiny"
    assert (found.shapes, found.generation) == (expected.shapes, expected.generation)
    with found.sub_model("coarse") as ours, expected.sub_model("coarse") as theirs:
        for name, tensor in theirs.state_dict().items():
            assert torch.equal(ours.state_dict()[name], tensor), name


def test_bundle_speaks_by_its_hub_id(cache: Path, random_bundle: Path, random_bark: Bark) -> None:
    put_in_cache(cache, "suno/tiny-onnx", random_bundle)
    bark = Bark.load("suno/tiny-onnx")
    assert bark.voices == random_bark.voices
    settings = {"options": GenerationOptions.greedy(), "semantic_max_new_tokens": 20}
    found = bark.speak("Hello", voice="v2/en_speaker_0", **settings)
    expected = random_bark.speak("Hello", voice="v2/en_speaker_0", **settings)
    np.testing.assert_array_equal(found.fine_tokens, expected.fine_tokens)
    np.testing.assert_array_equal(found.samples, expected.samples)


def test_cached_voice_is_refused_when_it_links_out_of_its_repository(
    cache: Path, random_bundle: Path
) -> None:
    snapshot = put_in_cache(cache, "suno/tiny-onnx", random_bundle)
    elsewhere = put_in_cache(cache, "else/where", random_bundle)
    (snapshot / "voices" / "stolen.npz").symlink_to(
        (elsewhere / "voices" / "v2" / "en_speaker_0.npz").resolve()
    )
    with pytest.raises(VoiceError) as caught:
        VoiceLibrary(Bundle("suno/tiny-onnx")).load("stolen")
    assert_one_line(caught.value, '"stolen"', "not found")


def test_local_folder_takes_precedence_over_a_hub_id(
    cache: Path, tmp_path: Path, random_checkpoint: Path
) -> None:
    (tmp_path / "suno").mkdir()
    (tmp_path / "suno" / "tiny").symlink_to(random_checkpoint)
    assert open_checkpoint("suno/tiny").folder == Path("suno/tiny")


@pytest.mark.parametrize(
    ("load", "error"),
    [(open_checkpoint, CheckpointError), (Bundle, BundleError), (Bark.load, BundleError)],
)
def test_hub_id_that_is_not_cached_raises_with_the_local_remedy(
    cache: Path, load: Callable[[str], object], error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        load(ABSENT)
    assert_one_line(
        caught.value,
        ABSENT,
        "not in the local cache",
        f"hf download {ABSENT} --local-dir FOLDER",
        "give that folder",
    )


@pytest.mark.parametrize("name", ["suno/-tiny", "suno/tiny.git", "suno/a--b"])
def test_invalid_hub_id_raises_a_one_line_error(cache: Path, name: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(name)
    assert_one_line(caught.value, name, "give that folder")


def test_cached_repository_without_the_files_raises_a_one_line_error(
    cache: Path, tmp_path: Path
) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "README.md").write_text("Nothing here.")
    put_in_cache(cache, "suno/empty", files)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint("suno/empty")
    assert_one_line(caught.value, "config.json", "Bark checkpoint")
    with pytest.raises(BundleError) as caught_bundle:
        Bundle("suno/empty")
    assert_one_line(caught_bundle.value, "bark.json", "not a bundle")


def test_command_finds_a_bundle_in_the_cache_of_the_environment(
    cache: Path, random_bundle: Path
) -> None:
    put_in_cache(cache, "suno/tiny-onnx", random_bundle)
    done = subprocess.run(
        [sys.executable, "-m", "bark_onnx.runtime", "voices", "-m", "suno/tiny-onnx"],
        capture_output=True,
        text=True,
        cwd=cache,
        env={"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"},
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "v2/en_speaker_0  English (en)  4.0 s\n",
        "",
    )


def test_command_prints_the_remedy_for_an_id_that_is_not_cached(cache: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bark_onnx.runtime", "info", "-m", ABSENT],
        capture_output=True,
        text=True,
        cwd=cache,
        env={"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"},
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert_one_line(done.stderr.rstrip("\n"), f"bark-onnx: {ABSENT}", "hf download")
