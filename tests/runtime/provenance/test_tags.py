"""What sound files say of themselves, in every format, however long and in any script."""

import dataclasses
import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from bark_onnx.graphs.bundle.dataclass_json import SchemaError
from bark_onnx.runtime import AudioError, Speech, SpeechWriter
from bark_onnx.runtime.provenance.provenance import BundleRef, Provenance, VoiceRef
from bark_onnx.runtime.provenance.tags import _read_info, read_tags
from tests.support.messages import assert_one_line

RATE = 24_000
SUFFIXES = ("wav", "flac", "ogg", "mp3", "opus")
# The first words of the Universal Declaration of Human Rights, and what programs stumble over.
WORDS = (
    "All human beings. Alle Menschen größer. Todos los seres. Tous les êtres. सभी मनुष्य। "
    "Tutti gli esseri. すべての人間は。 모든 인간은. Wszyscy ludzie żółć. Todos. Все люди. "
    "Bütün insanlar ğ. 人人生而自由。 😀 \n\r\n\t\"'$`\\ %s {} \u2028 "
)
PROVENANCE = Provenance(
    software="bark-onnx 1.2.3",
    text="Hello,\nworld",
    seed=2**63,
    bundle=BundleRef(
        "bundles/größe", "suno/bark-small", "int8", "0123456789abcdef", RATE, "cpu", "1.3"
    ),
    voice=VoiceRef("me.npz", "ab" * 32),
    cast={"Anna": VoiceRef("v2/en_speaker_6", "cd" * 32), "Ben": None},
    generation={"semantic_temperature": 0.1 + 0.2, "semantic_top_k": 0, "fine_do_sample": True},
    reading={"continuity": "previous"},
    piece=3,
)


def speech(provenance: Provenance | None, seconds: float = 0.5) -> Speech:
    tokens = np.zeros((8, 8), np.int64)
    samples = 0.5 * np.sin(np.arange(round(seconds * RATE)) / 20)
    sound = samples.astype(np.float32)
    return Speech(sound, RATE, tokens[0], tokens[:2], tokens, "Hi", "", 0, provenance=provenance)


def recipe_in(path: Path) -> Provenance | None:
    return Provenance.from_json(read_tags(path).comment)


def words(count: int) -> str:
    return (WORDS * (count // len(WORDS) + 1))[:count]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("count", [1, 2, 1000, 20_000, 200_000])
def test_every_format_keeps_a_text_of_any_length_and_script(
    tmp_path: Path, suffix: str, count: int
) -> None:
    provenance = dataclasses.replace(PROVENANCE, text=words(count))
    if suffix == "opus" and count > 20_000:
        provenance = provenance.without_text()
    speech(None).save(tmp_path / f"plain.{suffix}")
    speech(provenance).save(tmp_path / f"a.{suffix}")
    assert recipe_in(tmp_path / f"a.{suffix}") == provenance
    plain, _ = soundfile.read(tmp_path / f"plain.{suffix}")
    found, rate = soundfile.read(tmp_path / f"a.{suffix}")
    assert rate == RATE
    np.testing.assert_allclose(found, plain, atol=1e-6)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_other_programs_see_title_artist_and_software(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    speech(dataclasses.replace(PROVENANCE, text="  Grüße,\n世界! " + "x" * 100)).save(path)
    with soundfile.SoundFile(path) as file:
        assert file.title == "Grüße, 世界! " + "x" * 68 + "…"
        assert len(file.title) == 80
        assert file.artist == "me.npz, v2/en_speaker_6"
        assert file.software.startswith("bark-onnx 1.2.3")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_writer_says_the_same_as_a_single_file_and_leaves_out_the_piece(
    tmp_path: Path, suffix: str
) -> None:
    with SpeechWriter(tmp_path / f"a.{suffix}", RATE) as file:
        file.write(speech(PROVENANCE))
        file.write(speech(dataclasses.replace(PROVENANCE, piece=4)))
    assert recipe_in(tmp_path / f"a.{suffix}") == dataclasses.replace(PROVENANCE, piece=None)
    speech(dataclasses.replace(PROVENANCE, piece=None)).save(tmp_path / f"b.{suffix}")
    with SpeechWriter(tmp_path / f"c.{suffix}", RATE) as file:
        file.write(speech(PROVENANCE))
    first, second = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in "bc")
    assert first == second


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_interrupt_leaves_a_file_that_tells(tmp_path: Path, suffix: str) -> None:
    def stop_after_a_piece() -> None:
        with SpeechWriter(tmp_path / f"a.{suffix}", RATE) as file:
            file.write(speech(PROVENANCE))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_after_a_piece()
    assert recipe_in(tmp_path / f"a.{suffix}") == dataclasses.replace(PROVENANCE, piece=None)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_metadata_leaves_the_file_as_if_nothing_were_known(tmp_path: Path, suffix: str) -> None:
    speech(None).save(tmp_path / f"plain.{suffix}")
    speech(PROVENANCE).save(tmp_path / f"a.{suffix}", metadata=False)
    with SpeechWriter(tmp_path / f"b.{suffix}", RATE, metadata=False) as file:
        file.write(speech(PROVENANCE))
    plain, first, second = (
        (tmp_path / f"{name}.{suffix}").read_bytes() for name in ("plain", "a", "b")
    )
    assert plain == first == second
    assert recipe_in(tmp_path / f"a.{suffix}") is None


def test_a_wav_file_is_whole_in_its_own_words(tmp_path: Path) -> None:
    for count in (0, 1):  # samples, odd and even strings
        for text in ("a", "ab"):
            path = tmp_path / "a.wav"
            speech(dataclasses.replace(PROVENANCE, text=text), count / RATE).save(path)
            data = path.read_bytes()
            assert struct.unpack_from("<I", data, 4)[0] == len(data) - 8
            at, names = 12, []
            while at < len(data):
                name, size = struct.unpack_from("<4sI", data, at)
                names.append(name)
                at += 8 + size + (size & 1)
            assert (names, at) == ([b"fmt ", b"data", b"LIST"], len(data))


def test_a_wav_file_of_another_program_is_read(tmp_path: Path) -> None:
    with soundfile.SoundFile(tmp_path / "a.wav", "w", RATE, 1) as file:
        file.title, file.comment = "A title", "x" * 5000  # more than libsndfile reads back
        file.write(np.zeros(10))
    found = read_tags(tmp_path / "a.wav")
    assert (found.title, found.artist, found.comment) == ("A title", "", "x" * 5000)


# What cannot be read


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"", "damaged"), (b"no sound at all" * 100, "damaged"), (None, "no such file")],
)
def test_what_is_no_sound_is_one_line(
    tmp_path: Path, suffix: str, content: bytes | None, expected: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AudioError) as caught:
        read_tags(path)
    assert_one_line(caught.value, path.name, expected)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_cut_anywhere_is_read_or_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    speech(PROVENANCE, 0.1).save(path)
    whole = path.read_bytes()
    for share in range(1, 40):
        path.write_bytes(whole[: len(whole) * share // 40])
        try:
            found = recipe_in(path)
        except (AudioError, SchemaError) as error:
            assert_one_line(error)
        else:
            assert found in (None, PROVENANCE)


@given(st.binary(max_size=200), st.integers(0, 300))
def test_any_bytes_in_a_wav_file_are_read_or_refused(body: bytes, size: int) -> None:
    data = b"RIFF" + b"\0" * 4 + b"WAVE" + b"LIST" + struct.pack("<I", size) + b"INFO" + body
    for name, value in _read_info(io.BytesIO(data)):
        assert name in ("title", "artist", "software", "comment")
        assert isinstance(value, str)


# The recipe


def test_a_recipe_is_read_as_it_was_written() -> None:
    assert Provenance.from_json(PROVENANCE.to_json()) == PROVENANCE
    assert "\n" not in PROVENANCE.to_json()


@given(st.text(max_size=50), st.integers(0, 2**70), st.floats(0.001, 10))
def test_any_text_seed_and_number_come_back(text: str, seed: int, number: float) -> None:
    generation: Any = {"semantic_temperature": number}
    provenance = dataclasses.replace(PROVENANCE, text=text, seed=seed, generation=generation)
    assert Provenance.from_json(provenance.to_json()) == provenance


@pytest.mark.parametrize("comment", ["", "Recorded at home", "{}", "[1]", "7", '{"title": 3}', "{"])
def test_the_comment_of_somebody_else_is_no_recipe(comment: str) -> None:
    assert Provenance.from_json(comment) is None


def replaced(old: str, new: str) -> str:
    text = PROVENANCE.to_json()
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("comment", "words"),
    [
        (PROVENANCE.to_json()[:-9], ("cut off",)),
        (replaced('"format":1', '"format":2'), ("format is 2", "expected 1")),
        (replaced('"format":1', '"format":"x"'), ("format is 'x'", "expected 1")),
        (replaced('"piece":3', '"peace":3'), ("peace",)),
        (replaced('"seed":9223372036854775808', '"seed":"x"'), ("seed", "expected int")),
        ('{"bark-onnx":7}', ("expected",)),
        (replaced("me.npz", "\\u001b[2Jme.npz"), ("x1b", "no name")),
    ],
)
def test_a_damaged_recipe_is_one_line(comment: str, words: tuple[str, ...]) -> None:
    with pytest.raises(SchemaError) as caught:
        Provenance.from_json(comment)
    assert_one_line(caught.value, *words)


def test_a_text_too_long_for_a_format_is_left_out() -> None:
    provenance = dataclasses.replace(PROVENANCE, text="न" * 30_000)
    assert Provenance.from_json(provenance.to_tags("flac", RATE).comment) == provenance
    tags = provenance.to_tags("opus", RATE)
    found = Provenance.from_json(tags.comment)
    assert found is not None
    assert found.text is None
    assert found.text_sha256 is not None
    assert len(found.text_sha256) == 64
    assert dataclasses.replace(found, text=provenance.text, text_sha256=None) == provenance
    assert tags.title.startswith("न")
