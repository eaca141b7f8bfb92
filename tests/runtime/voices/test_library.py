"""Voices of a bundle: listed, added by users, and refused."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.runtime import (
    Bark,
    Voice,
    VoiceError,
)
from bark_onnx.runtime.voices.library import VoiceLibrary
from tests.support.messages import assert_one_line

VOICE = "voices/v2/en_speaker_0.npz"


def assert_refused(bundle: Bundle, voice: Any, *words: str) -> None:
    with pytest.raises(VoiceError) as caught:
        VoiceLibrary(bundle).load(voice)
    assert_one_line(caught.value, *words)


def test_every_exported_voice_is_listed_and_loads(random_bundle: Path) -> None:
    opened = Bundle(random_bundle)
    assert opened.voice_names() == ["v2/en_speaker_0"]
    voice = VoiceLibrary(opened).load("v2/en_speaker_0").voice
    assert voice is not None
    assert (voice.name, voice.fine_prompt.shape) == ("v2/en_speaker_0", (8, 300))


def test_library_returns_no_voice_for_none(random_bundle: Path) -> None:
    assert VoiceLibrary(Bundle(random_bundle)).load(None).voice is None


def test_unknown_voice_raises_with_the_nearest_name(random_bundle: Path) -> None:
    assert_refused(
        Bundle(random_bundle),
        "v2/en_speaker_1",
        '"v2/en_speaker_1" not found',
        "nearest: v2/en_speaker_0",
        "bark-onnx voices",
    )


def test_unknown_voice_raises_in_a_bundle_without_voices(bundle: Path) -> None:
    opened = Bundle(bundle)
    shutil.rmtree(bundle / "voices")
    assert opened.voice_names() == []
    assert_refused(opened, "anna", '"anna" not found', "none", "--voices all")


def test_a_single_voice_is_named(random_bundle: Path) -> None:
    assert_refused(Bundle(random_bundle), "anna", "the bundle has v2/en_speaker_0. List them")


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "v2/../../secret",
        "/etc/passwd",
        "..",
        "v2/..",
        ".",
        "",
        "a/b/c",
        "v2\\en_speaker_0",
        "v2/en_speaker_0\0",
        "\n",
    ],
)
def test_name_that_leaves_the_folder_is_refused(bundle: Path, name: str) -> None:
    shutil.copy(bundle / VOICE, bundle / "secret.npz")
    assert_refused(Bundle(bundle), name, "expected a name", ".npz file")


@pytest.mark.parametrize("is_folder", [False, True])
def test_link_out_of_the_voices_folder_is_not_followed(bundle: Path, is_folder: bool) -> None:
    outside = bundle.parent / "outside"
    outside.mkdir()
    shutil.copy(bundle / VOICE, outside / "stolen.npz")
    if is_folder:
        (bundle / "voices" / "linked").symlink_to(outside)
        name = "linked/stolen"
    else:
        (bundle / "voices" / "stolen.npz").symlink_to(outside / "stolen.npz")
        name = "stolen"
    assert_refused(Bundle(bundle), name, f'"{name}" not found')


def test_added_voices_are_listed_and_load(bundle: Path, random_bark: Bark) -> None:
    spoken = random_bark.speak("Hello", seed=0, semantic_max_new_tokens=20)
    spoken.to_voice().save(bundle / "voices" / "me.npz")
    (bundle / "voices" / "friends").mkdir()
    spoken.to_voice().save(bundle / "voices" / "friends" / "Anna-2.npz")
    (bundle / "voices" / "notes.txt").write_text("not a voice")
    opened = Bundle(bundle)
    assert opened.voice_names() == ["friends/Anna-2", "me", "v2/en_speaker_0"]
    voice = VoiceLibrary(opened).load("friends/Anna-2").voice
    assert voice is not None
    assert voice.name == "friends/Anna-2"
    np.testing.assert_array_equal(voice.fine_prompt, spoken.fine_tokens)


def test_every_listed_name_loads(bundle: Path) -> None:
    for name in ("me.v1", "..odd", "with space", "a", "ünï", "path.npz"):
        shutil.copy(bundle / VOICE, bundle / "voices" / f"{name}.npz")
    (bundle / "voices" / "deep" / "er").mkdir(parents=True)
    shutil.copy(bundle / VOICE, bundle / "voices" / "deep" / "er" / "x.npz")
    (bundle / "voices" / "folder.npz").mkdir()
    (bundle / "voices" / "gone.npz").symlink_to(bundle / "voices" / "nowhere.npz")
    opened = Bundle(bundle)
    assert {"me.v1", "a", "ünï"} <= set(opened.voice_names())
    for name in opened.voice_names():
        assert isinstance(VoiceLibrary(opened).load(name).voice, Voice), name


def test_added_voice_is_checked(bundle: Path) -> None:
    (bundle / "voices" / "broken.npz").write_bytes(b"no voice")
    assert_refused(Bundle(bundle), "broken", "broken.npz", "not a voice")


def test_voice_loads_from_a_path_an_object_or_arrays(bundle: Path, random_bundle: Path) -> None:
    opened = Bundle(random_bundle)
    path = bundle / VOICE
    loaded = Voice.load(path)
    arrays = {
        key: getattr(loaded, key) for key in ("semantic_prompt", "coarse_prompt", "fine_prompt")
    }
    for given in (path, str(path), loaded, arrays):
        voice = VoiceLibrary(opened).load(given).voice
        assert voice is not None
        np.testing.assert_array_equal(voice.fine_prompt, loaded.fine_prompt)


def test_path_of_a_missing_file_is_refused(random_bundle: Path, tmp_path: Path) -> None:
    assert_refused(Bundle(random_bundle), tmp_path / "me.npz", "me.npz", "no such file", ".npz")


@pytest.mark.parametrize("voice", [5, ["v2/en_speaker_0"], b"v2/en_speaker_0", np.zeros(3)])
def test_value_of_another_kind_is_refused(random_bundle: Path, voice: Any) -> None:
    assert_refused(Bundle(random_bundle), voice, "expected a name")


def test_voice_with_unknown_tokens_is_refused(random_bundle: Path) -> None:
    fine = np.zeros((8, 3), np.int64)
    strange = Voice(np.array([10_000]), fine[:2], fine)
    assert_refused(Bundle(random_bundle), strange, "semantic_prompt", "10000", "below 10000")
