"""Voices: Suno's files load unchanged, and other contents are refused in one line."""

import gc
import io
import os
import random
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from bark_onnx.graphs.errors import VoiceError
from bark_onnx.graphs.voices.npy import parse_npy
from bark_onnx.graphs.voices.npz import read_npy
from bark_onnx.graphs.voices.voice import MAX_LENGTH, Voice, is_voice_name
from tests.conftest import SHARED, needs_shared_data
from tests.support.messages import assert_one_line
from tests.support.permissions import permissions_bind
from tests.support.sizes import SETTINGS
from tests.support.torture.mutants import mutant
from tests.support.torture.voices import outcome

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
    _refused(lambda: Voice.load(tmp_path), str(tmp_path), "is a folder", "regular file")


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
        # Those that numpy answers with errors of other classes.
        f"{{'descr': '<i8', 'fortran_order': False, 'shape': ({10**30},), }}",
        "{'descr': (), 'fortran_order': False, 'shape': (5,), }",
        "{'descr': ('i4',), 'fortran_order': False, 'shape': (5,), }",
        "{'descr': ',,', 'fortran_order': False, 'shape': (5,), }",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (5,",
        f"{{'descr': '<i8', 'fortran_order': False, 'shape': ({'9' * 5000},), }}",
    ],
    ids=lambda header: header[:60],
)
def test_an_array_with_a_false_header_is_refused(tmp_path: Path, header: str):
    path = tmp_path / "me.npz"
    _member(path, "semantic_prompt", header)
    _refused(lambda: Voice.load(path), str(path), "not a voice", "get the file again")


def test_headers_of_any_writer_are_read():
    for header in (
        "{'descr': '<i8', 'fortran_order': False, 'shape': (5,), }   ",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (5L,), }",  # Python 2
        '{"shape": (5,), "fortran_order": False, "descr": "<i8"}',
    ):
        content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
        array = parse_npy(content + np.arange(5).tobytes())
        np.testing.assert_array_equal(array, np.arange(5))
        assert array.dtype == np.int64


@given(
    array=st.sampled_from([np.uint8, np.int16, ">i4", np.int64]).flatmap(
        lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=3, max_side=5))
    ),
    is_fortran=st.booleans(),
)
def test_any_array_of_integers_is_read_as_numpy_reads_it(array, is_fortran):
    file = io.BytesIO()
    np.save(file, np.asfortranarray(array) if is_fortran else array)
    found = parse_npy(file.getvalue())
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype


@pytest.mark.parametrize("method", [12, 14, 93, 99])
def test_an_archive_that_is_compressed_in_another_way_is_refused(tmp_path: Path, method: int):
    content = bytearray(_npz(compressed=True))
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        start = content.index(signature) + offset
        content[start : start + 2] = method.to_bytes(2, "little")
    path = tmp_path / "me.npz"
    path.write_bytes(content)
    _refused(lambda: Voice.load(path), str(path), "not a voice")


def test_an_encrypted_archive_is_refused(tmp_path: Path):
    content = bytearray(_npz(compressed=False))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path = tmp_path / "me.npz"
    path.write_bytes(content)
    _refused(lambda: Voice.load(path), str(path), "encrypted")


@given(content=st.binary(max_size=200), start=st.sampled_from([b"", b"PK\x03\x04", b"\x93NUMPY"]))
@settings(deadline=None)
def test_any_bytes_are_a_voice_or_an_error_of_one_line(content: bytes, start: bytes):
    assert outcome(start + content) in ("voice", "refused")


def test_mutants_of_voices_are_voices_or_errors_of_one_line():
    rng = random.Random(0)
    found = Counter(outcome(mutant(rng)) for _ in range(1500))
    assert set(found) == {"voice", "refused"}, found
    assert min(found.values()) > 50


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_a_pipe_or_a_device_is_refused_and_not_opened(tmp_path: Path, make: Callable[[Path], Any]):
    path = tmp_path / "me.npz"
    make(path)
    _refused(lambda: Voice.load(path), str(path), "expected a regular file")
    _refused(lambda: read_npy(path, name="me"), str(path), "expected a regular file")


def test_a_file_of_another_owner_is_named_with_the_reason(tmp_path: Path):
    path = tmp_path / "me.npz"
    path.write_bytes(_npz(compressed=False))
    path.chmod(0)
    with permissions_bind():
        _refused(lambda: Voice.load(path), f"{path}: cannot be read (Permission denied)", "owner")


@pytest.mark.parametrize("unit", ["D", "s", "ns"])
def test_time_differences_are_not_integers(unit: str):
    array = np.arange(5).astype(f"m8[{unit}]")
    words = ("semantic_prompt holds timedelta64", "expected integers")
    _refused(lambda: Voice.from_arrays({**_arrays(), "semantic_prompt": array}), *words)


@pytest.mark.parametrize(
    ("key", "shape", "words"),
    [
        ("semantic_prompt", (MAX_LENGTH + 1,), "at most 10000 tokens"),
        ("coarse_prompt", (2, MAX_LENGTH + 1), "at most 10000 frames of 64 codebooks"),
        ("fine_prompt", (8, MAX_LENGTH + 1), "at most 10000 frames of 64 codebooks"),
        ("fine_prompt", (65, 4), "at most 10000 frames of 64 codebooks"),
    ],
)
def test_more_tokens_than_any_voice_has_are_refused(key: str, shape: tuple[int, ...], words: str):
    arrays = {**_arrays(), key: np.zeros(shape, np.uint8)}
    _refused(lambda: Voice.from_arrays(arrays), key, str(shape), words, "cut the rest off")


def test_the_longest_voice_is_stored_small_and_can_be_read(tmp_path: Path):
    rng = np.random.default_rng(0)
    fine = rng.integers(0, 1024, (8, MAX_LENGTH))
    voice = Voice(rng.integers(0, 10_000, MAX_LENGTH), fine[:2], fine)
    voice.save(tmp_path / "me.npz")
    assert (tmp_path / "me.npz").stat().st_size < 250_000
    assert _same(Voice.load(tmp_path / "me.npz"), voice)
    with np.load(tmp_path / "me.npz") as file:
        assert {file[key].dtype.name for key in KEYS} == {"int32"}


def test_tokens_beyond_32_bits_are_stored_as_they_are(tmp_path: Path):
    voice = Voice(**{**_arrays(), "semantic_prompt": np.array([2**40])})
    voice.save(tmp_path / "me.npz")
    assert _same(Voice.load(tmp_path / "me.npz"), voice)


def test_a_file_that_unpacks_to_too_many_bytes_is_refused(tmp_path: Path):
    path = tmp_path / "me.npz"
    np.savez_compressed(path, **{**_arrays(), "semantic_prompt": np.zeros(1 << 21, np.int64)})
    assert path.stat().st_size < 100_000
    _refused(lambda: Voice.load(path), str(path), "at most 4194304", "uses only the last seconds")


def test_a_path_that_cannot_be_written_is_one_line(tmp_path: Path):
    voice = Voice(**_arrays())
    nowhere = tmp_path / "missing" / "me.npz"
    _refused(lambda: voice.save(nowhere), f"{nowhere}: cannot be written", "No such file")
    _refused(lambda: voice.save(tmp_path), f"{tmp_path}: cannot be written", "directory")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["announcer", "v2/en_speaker_6", "me-2", "a.b", "été", "a" * 200])
def test_a_word_after_at_most_one_folder_is_a_voice_name(name: str):
    assert is_voice_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../me", "v2/..", "/me", "me/", "a/b/c", "a\\b", "a b", "v2/en\n"),
        *("me.npz", "a" * 201, "é" * 101, f"v2/{'a' * 3000}"),
    ],
)
def test_a_path_or_a_name_outside_the_folder_is_not_a_voice_name(name: str):
    assert not is_voice_name(name)
