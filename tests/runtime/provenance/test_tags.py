"""Tags of sound files: in every format, of any length and in any script."""

import dataclasses
import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from bark_onnx.graphs.files.dataclass_json import SchemaError
from bark_onnx.runtime import AudioError, Speech, SpeechWriter
from bark_onnx.runtime.provenance.provenance import Provenance
from bark_onnx.runtime.provenance.tags import _read_info, read_tags, to_tags
from tests.support.messages import assert_one_line
from tests.support.provenance import PROVENANCE

RATE = 24_000
SUFFIXES = ("wav", "flac", "ogg", "mp3", "opus")
# First words of the Universal Declaration of Human Rights, and characters that cause bugs.
WORDS = (
    "All human beings. Alle Menschen größer. Todos los seres. Tous les êtres. सभी मनुष्य। "
    "Tutti gli esseri. すべての人間は。 모든 인간은. Wszyscy ludzie żółć. Todos. Все люди. "
    "Bütün insanlar ğ. 人人生而自由。 😀 \n\r\n\t\"'$`\\ %s {} \u2028 "
)


def speech(provenance: Provenance | None, seconds: float = 0.5) -> Speech:
    tokens = np.zeros((8, 8), np.int64)
    samples = 0.5 * np.sin(np.arange(round(seconds * RATE)) / 20)
    sound = samples.astype(np.float32)
    return Speech(sound, RATE, tokens[0], tokens[:2], tokens, "Hi", "", 0, provenance=provenance)


def stored(path: Path) -> Provenance | None:
    return Provenance.from_json(read_tags(path).comment)


def words(count: int) -> str:
    return (WORDS * (count // len(WORDS) + 1))[:count]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("count", [1, 2, 1000, 20_000, 200_000])
def test_every_format_stores_a_text_of_any_length_and_script(
    tmp_path: Path, suffix: str, count: int
) -> None:
    provenance = dataclasses.replace(PROVENANCE, text=words(count))
    if suffix == "opus" and count > 20_000:
        provenance = provenance.without_text()
    speech(None).save(tmp_path / f"plain.{suffix}")
    speech(provenance).save(tmp_path / f"a.{suffix}")
    assert stored(tmp_path / f"a.{suffix}") == provenance
    plain, _ = soundfile.read(tmp_path / f"plain.{suffix}")
    found, rate = soundfile.read(tmp_path / f"a.{suffix}")
    assert rate == RATE
    np.testing.assert_allclose(found, plain, atol=1e-6)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_other_programs_read_title_artist_and_software(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    speech(dataclasses.replace(PROVENANCE, text="  Grüße,\n世界! " + "x" * 100)).save(path)
    with soundfile.SoundFile(path) as file:
        assert file.title == "Grüße, 世界! " + "x" * 68 + "…"
        assert len(file.title) == 80
        assert file.artist == "me.npz, v2/en_speaker_6"
        assert file.software.startswith("bark-onnx 1.2.3")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_writer_stores_the_same_as_a_single_file_without_the_segment(
    tmp_path: Path, suffix: str
) -> None:
    with SpeechWriter(tmp_path / f"a.{suffix}", RATE) as file:
        file.write(speech(PROVENANCE))
        file.write(speech(dataclasses.replace(PROVENANCE, segment=4)))
    assert stored(tmp_path / f"a.{suffix}") == dataclasses.replace(PROVENANCE, segment=None)
    speech(dataclasses.replace(PROVENANCE, segment=None)).save(tmp_path / f"b.{suffix}")
    with SpeechWriter(tmp_path / f"c.{suffix}", RATE) as file:
        file.write(speech(PROVENANCE))
    first, second = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in "bc")
    assert first == second


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_interrupted_file_has_its_provenance(tmp_path: Path, suffix: str) -> None:
    def stop_after_a_segment() -> None:
        with SpeechWriter(tmp_path / f"a.{suffix}", RATE) as file:
            file.write(speech(PROVENANCE))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_after_a_segment()
    assert stored(tmp_path / f"a.{suffix}") == dataclasses.replace(PROVENANCE, segment=None)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_without_metadata_equals_one_of_unknown_provenance(
    tmp_path: Path, suffix: str
) -> None:
    speech(None).save(tmp_path / f"plain.{suffix}")
    speech(PROVENANCE).save(tmp_path / f"a.{suffix}", metadata=False)
    with SpeechWriter(tmp_path / f"b.{suffix}", RATE, metadata=False) as file:
        file.write(speech(PROVENANCE))
    plain, first, second = (
        (tmp_path / f"{name}.{suffix}").read_bytes() for name in ("plain", "a", "b")
    )
    assert plain == first == second
    assert stored(tmp_path / f"a.{suffix}") is None


def test_the_chunks_of_a_wav_file_are_complete(tmp_path: Path) -> None:
    for count in (0, 1):  # samples; then odd and even strings
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


def test_a_wav_file_of_another_program_has_tags(tmp_path: Path) -> None:
    with soundfile.SoundFile(tmp_path / "a.wav", "w", RATE, 1) as file:
        file.title, file.comment = "A title", "x" * 5000  # more than libsndfile reads
        file.write(np.zeros(10))
    found = read_tags(tmp_path / "a.wav")
    assert (found.title, found.artist, found.comment) == ("A title", "", "x" * 5000)


# Damaged files


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"", "damaged"), (b"no sound at all" * 100, "damaged"), (None, "no such file")],
)
def test_a_file_that_is_not_sound_is_one_line(
    tmp_path: Path, suffix: str, content: bytes | None, expected: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AudioError) as caught:
        read_tags(path)
    assert_one_line(caught.value, path.name, expected)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_cut_anywhere_is_read_or_refused_in_one_line(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    speech(PROVENANCE, 0.1).save(path)
    whole = path.read_bytes()
    for share in range(1, 40):
        path.write_bytes(whole[: len(whole) * share // 40])
        try:
            found = stored(path)
        except (AudioError, SchemaError) as error:
            assert_one_line(error)
        else:
            assert found in (None, PROVENANCE)


@given(st.binary(max_size=200), st.integers(0, 300))
def test_any_bytes_in_a_wav_file_are_read_or_ignored(body: bytes, size: int) -> None:
    data = b"RIFF" + b"\0" * 4 + b"WAVE" + b"LIST" + struct.pack("<I", size) + b"INFO" + body
    for name, value in _read_info(io.BytesIO(data)):
        assert name in ("title", "artist", "software", "comment")
        assert isinstance(value, str)


def test_a_text_too_long_for_a_format_is_replaced_by_its_checksum() -> None:
    provenance = dataclasses.replace(PROVENANCE, text="न" * 30_000)
    assert Provenance.from_json(to_tags(provenance, "flac", RATE).comment) == provenance
    tags = to_tags(provenance, "opus", RATE)
    found = Provenance.from_json(tags.comment)
    assert found is not None
    assert found.text is None
    assert found.text_sha256 is not None
    assert len(found.text_sha256) == 64
    assert dataclasses.replace(found, text=provenance.text, text_sha256=None) == provenance
    assert tags.title.startswith("न")
