"""Voices: Suno's files load unchanged, and other contents are refused in one line."""

import gc
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bark_onnx.graphs.errors import VoiceError
from bark_onnx.graphs.voices.voice import Voice, is_voice_name
from tests.conftest import SHARED, needs_shared_data
from tests.support.messages import assert_one_line
from tests.support.sizes import SETTINGS

KEYS = ("semantic_prompt", "coarse_prompt", "fine_prompt")
PRESETS = sorted((SHARED / "voices").rglob("*.npz"))


def _arrays(frames: int = 4) -> dict[str, Any]:
    fine = np.arange(8 * frames).reshape(8, frames)
    return {"semantic_prompt": np.arange(5), "coarse_prompt": fine[:2], "fine_prompt": fine}


def _same(voice: Voice, other: Voice) -> bool:
    return all(np.array_equal(getattr(voice, key), getattr(other, key)) for key in KEYS)


def _refused(call: Callable[[], object], *words: str) -> None:
    with pytest.raises(VoiceError) as caught:
        call()
    assert_one_line(caught.value, *words)


@needs_shared_data
def test_twelve_presets_are_there():
    assert len(PRESETS) == 12


@needs_shared_data
@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_every_preset_loads_with_its_values_as_int64(path: Path):
    voice = Voice.load(path)
    voice.check(SETTINGS)
    with np.load(path) as file:
        for key in KEYS:
            assert getattr(voice, key).dtype == np.int64
            np.testing.assert_array_equal(getattr(voice, key), file[key])


@needs_shared_data
def test_the_announcer_is_stored_as_uint16_and_loads_as_int64():
    path = SHARED / "voices" / "announcer.npz"
    with np.load(path) as file:
        assert {file[key].dtype.name for key in KEYS} == {"uint16"}
    assert Voice.load(path).semantic_prompt.dtype == np.int64


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "int64", "uint64"])
def test_integers_of_any_width_become_int64(dtype: str):
    voice = Voice.from_arrays({key: array.astype(dtype) for key, array in _arrays().items()})
    assert {getattr(voice, key).dtype.name for key in KEYS} == {"int64"}
    assert _same(voice, Voice(**_arrays()))


def test_lists_of_integers_make_a_voice():
    voice = Voice.from_arrays({key: array.tolist() for key, array in _arrays().items()})
    assert _same(voice, Voice(**_arrays()))


def test_a_voice_does_not_change_with_its_source_arrays():
    arrays = {key: array.copy() for key, array in _arrays().items()}
    voice = Voice.from_arrays(arrays)
    arrays["semantic_prompt"][:] = 0
    assert voice.semantic_prompt.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="read-only"):
        voice.semantic_prompt[0] = 1


@given(
    tokens=st.lists(st.integers(0, 9_999), min_size=1, max_size=20),
    frames=st.integers(1, 10),
    seed=st.integers(0, 100),
)
@settings(deadline=None)
def test_a_saved_voice_loads_with_the_same_tokens(tmp_path_factory, tokens, frames, seed):
    fine = np.random.default_rng(seed).integers(0, 1024, (8, frames))
    voice = Voice(np.array(tokens), fine[:2], fine)
    path = tmp_path_factory.mktemp("voices") / "me.npz"
    voice.save(path)
    assert _same(Voice.load(path), voice)
    assert [file.name for file in path.parent.iterdir()] == ["me.npz"]


def test_saving_over_a_voice_replaces_it(tmp_path: Path):
    path = tmp_path / "me.npz"
    Voice(**_arrays(4)).save(path)
    Voice(**_arrays(7)).save(path)
    assert Voice.load(path).fine_prompt.shape == (8, 7)


@pytest.mark.parametrize("key", KEYS)
def test_a_missing_key_is_named(tmp_path: Path, key: str):
    arrays = _arrays()
    del arrays[key]
    path = tmp_path / "me.npz"
    np.savez(path, **arrays)
    for call in (lambda: Voice.load(path), lambda: Voice.from_arrays(arrays)):
        _refused(call, f"{key} is missing", "expected semantic_prompt, coarse_prompt, fine_prompt")


@pytest.mark.parametrize(
    ("key", "array", "words"),
    [
        ("semantic_prompt", np.zeros((1, 5), np.int64), ["(1, 5)", "expected (n,)"]),
        ("semantic_prompt", np.int64(5), ["()", "expected (n,)"]),
        ("semantic_prompt", np.zeros(0, np.int64), ["(0,)", "at least one token"]),
        ("coarse_prompt", np.zeros(4, np.int64), ["(4,)", "expected (codebooks, frames)"]),
        ("coarse_prompt", np.zeros((2, 0), np.int64), ["(2, 0)", "at least one token"]),
        (
            "fine_prompt",
            np.zeros((1, 8, 4), np.int64),
            ["(1, 8, 4)", "expected (codebooks, frames)"],
        ),
        ("semantic_prompt", np.zeros(5), ["holds float64", "expected integers"]),
        ("coarse_prompt", np.zeros((2, 4), np.float16), ["holds float16", "expected integers"]),
        ("fine_prompt", np.zeros((8, 4), bool), ["holds bool", "expected integers"]),
        ("semantic_prompt", np.array(["1", "2"]), ["expected integers"]),
        ("semantic_prompt", [2**70], ["expected integers"]),
        ("semantic_prompt", None, ["expected integers"]),
        ("semantic_prompt", np.array([1, -1]), ["holds -1", "expected values from 0"]),
        ("coarse_prompt", np.full((2, 4), -7), ["holds -7", "expected values from 0"]),
        ("fine_prompt", np.full((8, 4), 2**63, np.uint64), [f"holds {2**63}", f"below {2**63}"]),
        ("semantic_prompt", [[1], [1, 2]], ["expected"]),
    ],
)
def test_an_array_of_the_wrong_kind_is_named(key: str, array: Any, words: list[str]):
    _refused(lambda: Voice.from_arrays({**_arrays(), key: array}), "Voice", key, *words)


def test_coarse_and_fine_must_have_the_same_number_of_frames():
    arrays = {**_arrays(4), "coarse_prompt": np.zeros((2, 3), np.int64)}
    _refused(lambda: Voice.from_arrays(arrays, name="me"), '"me"', "has 3 frames", "fine_prompt 4")


@pytest.mark.parametrize(
    ("key", "array", "words"),
    [
        ("semantic_prompt", np.array([9_999, 10_000]), ["holds 10000", "below 10000"]),
        ("coarse_prompt", np.full((2, 4), 1024), ["holds 1024", "below 1024"]),
        ("fine_prompt", np.full((8, 4), 5000), ["holds 5000", "below 1024"]),
        ("coarse_prompt", np.zeros((3, 4), np.int64), ["(3, 4)", "expected (2, frames)"]),
        ("fine_prompt", np.zeros((7, 4), np.int64), ["(7, 4)", "expected (8, frames)"]),
    ],
)
def test_a_voice_of_another_checkpoint_is_refused(key: str, array: Any, words: list[str]):
    voice = Voice.from_arrays({**_arrays(), key: array}, name="me")
    _refused(lambda: voice.check(SETTINGS), 'Voice "me"', key, *words)


def test_the_largest_tokens_of_a_checkpoint_are_accepted():
    Voice(np.array([9_999]), np.full((2, 1), 1023), np.full((8, 1), 1023)).check(SETTINGS)


@pytest.mark.parametrize("content", [b"RIFF\0\0\0\0WAVE", b'{"time": 1}', b"text"])
def test_another_kind_of_file_is_not_reported_as_a_pickle(tmp_path: Path, content: bytes):
    path = tmp_path / "me.npz"
    path.write_bytes(content)
    _refused(lambda: Voice.load(path), str(path), "neither an .npz nor an .npy file")


def test_pickled_objects_are_refused_and_not_run(tmp_path: Path):
    ran = tmp_path / "ran"

    class Harmful:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(ran),)

    path = tmp_path / "me.npz"
    arrays = {**_arrays(), "semantic_prompt": np.array([Harmful()], object)}
    np.savez(path, allow_pickle=True, **arrays)
    _refused(
        lambda: Voice.load(path), str(path), "pickled objects", "expected plain integer arrays"
    )
    path.write_bytes(b"\x80\x04N.")  # a pickle and nothing else
    _refused(
        lambda: Voice.load(path), str(path), "pickled objects", "expected plain integer arrays"
    )
    assert not ran.exists()


def test_a_single_array_is_refused(tmp_path: Path):
    path = tmp_path / "me.npy"
    np.save(path, np.arange(5))
    _refused(lambda: Voice.load(path), str(path), "single array", "expected an .npz file")


@pytest.mark.parametrize("content", [b"", b"RIFF", b"not a zip at all", b"PK\x03\x04"])
def test_a_file_that_is_not_a_zip_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "me.npz"
    path.write_bytes(content)
    _refused(lambda: Voice.load(path), str(path), "not a voice")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path):
    _refused(lambda: Voice.load(tmp_path / "me.npz"), "me.npz: no such file", "expected a voice")
    _refused(lambda: Voice.load(tmp_path), str(tmp_path), "not a voice")


def _npz(*, compressed: bool) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **_arrays(40))
    return file.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
def test_a_truncated_file_is_refused(tmp_path: Path, compressed: bool):
    content = _npz(compressed=compressed)
    path = tmp_path / "me.npz"
    for length in range(0, len(content) - 1, 13):
        path.write_bytes(content[:length])
        _refused(lambda: Voice.load(path), str(path), "not a voice")
    gc.collect()  # a file left open warns here, not in a later test


@given(
    compressed=st.booleans(),
    place=st.integers(0, 10_000),
    value=st.integers(0, 255),
)
@settings(deadline=None, max_examples=300)
def test_a_damaged_file_loads_or_is_refused_in_one_line(tmp_path_factory, compressed, place, value):
    content = bytearray(_npz(compressed=compressed))
    content[place % len(content)] = value
    path = tmp_path_factory.mktemp("damaged") / "me.npz"
    path.write_bytes(content)
    try:
        Voice.load(path)
    except VoiceError as error:
        assert_one_line(error, str(path))


def _member(path: Path, name: str, header: str, body: bytes = b"") -> None:
    """Write a zip with one array that has this header."""
    text = header.encode().ljust(117) + b"\n"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(
            f"{name}.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body
        )


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<i8', 'fortran_order': False, 'shape': (1000000000000000,), }",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': '<i8', 'fortran_order': False, 'shape': 5, }",
        "{'descr': 'nonsense', 'fortran_order': False, 'shape': (5,), }",
        "{'descr': '<i8'}",
        "nonsense",
    ],
)
def test_an_array_with_a_false_header_is_refused(tmp_path: Path, header: str):
    path = tmp_path / "me.npz"
    _member(path, "semantic_prompt", header)
    _refused(lambda: Voice.load(path), str(path), "not a voice")


def test_a_file_that_unpacks_to_too_many_bytes_is_refused(tmp_path: Path):
    path = tmp_path / "me.npz"
    np.savez_compressed(path, **{**_arrays(), "semantic_prompt": np.zeros(1 << 21, np.int64)})
    assert path.stat().st_size < 100_000
    _refused(lambda: Voice.load(path), str(path), "at most 16777216", "uses only the last seconds")


def test_a_path_that_cannot_be_written_is_one_line(tmp_path: Path):
    voice = Voice(**_arrays())
    nowhere = tmp_path / "missing" / "me.npz"
    _refused(lambda: voice.save(nowhere), f"{nowhere}: cannot be written", "No such file")
    _refused(lambda: voice.save(tmp_path), f"{tmp_path}: cannot be written", "directory")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["announcer", "v2/en_speaker_6", "me-2", "a.b", "été"])
def test_a_word_after_at_most_one_folder_is_a_voice_name(name: str):
    assert is_voice_name(name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../me", "v2/..", "/me", "me/", "a/b/c", "a\\b", "a b", "v2/en\n", "me.npz"],
)
def test_a_path_or_a_name_outside_the_folder_is_not_a_voice_name(name: str):
    assert not is_voice_name(name)
