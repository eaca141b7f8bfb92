"""Sound files: speech to file and back, and errors of files that cannot be written."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from bark_onnx.runtime import AudioError, Speech, VoiceError
from bark_onnx.runtime.audio.files.sound_file import check_audio_path
from tests.support.messages import assert_one_line

RATE = 24_000


def speech(samples: np.ndarray[Any, Any]) -> Speech:
    fine = np.random.default_rng(0).integers(0, 1024, (8, 75))
    return Speech(
        samples=samples.astype(np.float32),
        sample_rate_hz=RATE,
        semantic_tokens=np.arange(50),
        coarse_tokens=fine[:2],
        fine_tokens=fine,
        text="Hello",
        voice_name="",
        seed=1,
    )


@pytest.fixture
def tone() -> Speech:
    """A second of 440 Hz at half of full scale."""
    return speech(0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE))


@pytest.fixture
def silence() -> Speech:
    return speech(np.zeros(0))


def refuse(speech: Speech, path: Path, *words: str) -> None:
    with pytest.raises(AudioError) as caught:
        speech.save(path)
    assert_one_line(caught.value, *words)


@pytest.mark.parametrize(
    ("suffix", "kind", "extra", "error"),
    [
        (".wav", "WAV", 0, 1e-4),
        (".flac", "FLAC", 0, 1e-4),
        (".ogg", "OGG", 0, 0.05),
        (".mp3", "MP3", 2400, 0.05),  # its frames pad the end
        (".opus", "OGG", 0, 0.05),
        (".WAV", "WAV", 0, 1e-4),
    ],
)
def test_a_file_reads_back_as_the_speech(
    tone: Speech, tmp_path: Path, suffix: str, kind: str, extra: int, error: float
) -> None:
    path = tmp_path / f"hello{suffix}"
    tone.save(path)
    assert soundfile.info(path).format in (kind, "MPEG" if kind == "MP3" else kind)
    samples, rate = soundfile.read(path)
    assert rate == RATE
    assert samples.ndim == 1
    assert len(tone.samples) <= len(samples) <= len(tone.samples) + extra
    middle = slice(2400, -4800)
    level = np.sqrt(np.mean(samples[middle] ** 2))
    assert level == pytest.approx(0.5 / np.sqrt(2), rel=0.02)
    if suffix not in (".mp3", ".opus"):  # which may shift the whole by a delay
        assert np.abs(samples - tone.samples).max() < error
    strongest = np.argmax(np.abs(np.fft.rfft(samples[:RATE])))
    assert strongest == pytest.approx(440, abs=1)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_samples_beyond_full_scale_are_clipped_and_do_not_wrap(tmp_path: Path) -> None:
    speech(np.array([-1.5, -1.0, 0.0, 1.0, 1.5])).save(tmp_path / "loud.wav")
    samples, _ = soundfile.read(tmp_path / "loud.wav")
    np.testing.assert_allclose(samples, [-1, -1, 0, 1, 1], atol=1e-4)


def test_a_path_can_be_a_string(tone: Speech, tmp_path: Path) -> None:
    tone.save(str(tmp_path / "hello.wav"))
    assert (tmp_path / "hello.wav").is_file()


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".opus"])
def test_empty_speech_is_a_readable_file_or_an_error(
    silence: Speech, tmp_path: Path, suffix: str
) -> None:
    # libsndfile writes files without any bytes in some formats, which no player opens.
    path = tmp_path / f"silence{suffix}"
    assert silence.seconds == 0
    try:
        silence.save(path)
    except AudioError as error:
        assert suffix in (".flac", ".mp3", ".opus"), "this format can hold no samples"
        assert_one_line(error, path.name)
        assert list(tmp_path.iterdir()) == []
    else:
        samples, rate = soundfile.read(path)
        assert (len(samples), rate) == (0, RATE)


@pytest.mark.parametrize("name", ["hello", "hello.m4a", "hello.wav.txt", ".wav"])
def test_an_unknown_suffix_is_refused(tone: Speech, tmp_path: Path, name: str) -> None:
    refuse(tone, tmp_path / name, name, "suffix", "unknown", ".wav, .flac, .ogg, .mp3, .opus")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_refused(tone: Speech, tmp_path: Path) -> None:
    refuse(tone, tmp_path / "nowhere" / "a.wav", "nowhere", "no such folder", "make it")


def test_a_folder_is_refused(tone: Speech, tmp_path: Path) -> None:
    (tmp_path / "a.wav").mkdir()
    refuse(tone, tmp_path / "a.wav", "a.wav", "is a folder", "expected the name of a file")
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_a_folder_without_write_access_is_refused(
    tone: Speech, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Permissions do not bind the superuser, so os.access is replaced.
    monkeypatch.setattr(os, "access", lambda path, mode: not (mode & os.W_OK))
    refuse(tone, tmp_path / "a.wav", str(tmp_path), "may not be written", "another folder")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind the superuser")
def test_a_write_protected_folder_is_refused(tone: Speech, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    refuse(tone, tmp_path / "closed" / "a.wav", "closed", "may not be written")


def test_a_path_is_checked_without_being_written(tmp_path: Path) -> None:
    check_audio_path(tmp_path / "a.wav")
    with pytest.raises(AudioError):
        check_audio_path(tmp_path / "nowhere" / "a.wav")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt()]
)
@pytest.mark.parametrize("old", [None, b"what was there"])
def test_a_failed_write_keeps_the_old_file_and_removes_the_new(
    tone: Speech,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    old: bytes | None,
) -> None:
    if old is not None:
        (tmp_path / "a.wav").write_bytes(old)

    def write_half(*_: object) -> None:
        (partial,) = tmp_path.glob(".*.partial")
        partial.write_bytes(b"half of it")
        raise error

    monkeypatch.setattr(soundfile.SoundFile, "write", write_half)
    with pytest.raises((AudioError, KeyboardInterrupt)) as caught:
        tone.save(tmp_path / "a.wav")
    if isinstance(error, OSError):
        assert_one_line(caught.value, "a.wav", "cannot be written", "No space left on device")
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert found == ({} if old is None else {"a.wav": old})


def test_an_error_of_libsndfile_is_one_line(
    tone: Speech, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(*_: object, **__: object) -> None:
        raise soundfile.LibsndfileError(1, prefix="Error opening 'a.mp3': ")

    monkeypatch.setattr(soundfile.SoundFile, "write", write)
    refuse(tone, tmp_path / "a.mp3", "a.mp3", "cannot be written")
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_too_long_is_one_line(tone: Speech, tmp_path: Path) -> None:
    refuse(tone, tmp_path / f"{'a' * 252}.wav", "cannot be written", "name too long")


def test_a_name_that_no_system_has_is_one_line(tone: Speech, tmp_path: Path) -> None:
    refuse(tone, tmp_path / "a\0.wav", r"a\x00.wav: cannot be written (embedded null byte)")


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".opus"])
def test_a_name_can_be_as_long_as_the_system_allows(
    tone: Speech, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"{'a' * (255 - len(suffix))}{suffix}"
    tone.save(path)
    assert soundfile.info(path).frames >= RATE
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_speech_becomes_a_voice_of_its_tokens(tone: Speech) -> None:
    voice = tone.to_voice("me")
    assert voice.name == "me"
    np.testing.assert_array_equal(voice.semantic_prompt, tone.semantic_tokens)
    np.testing.assert_array_equal(voice.coarse_prompt, tone.coarse_tokens)
    np.testing.assert_array_equal(voice.fine_prompt, tone.fine_tokens)


def test_empty_speech_cannot_become_a_voice() -> None:
    empty = Speech(
        np.zeros(0, np.float32),
        RATE,
        np.zeros(0, np.int64),
        np.zeros((2, 0), np.int64),
        np.zeros((8, 0), np.int64),
        text="",
        voice_name="",
        seed=0,
    )
    with pytest.raises(VoiceError) as caught:
        empty.to_voice()
    assert_one_line(caught.value, "semantic_prompt", "at least one token")


def test_speech_shows_its_text_length_and_seed(tone: Speech) -> None:
    assert repr(tone) == "Speech('Hello', 1.00 s, seed=1)"
