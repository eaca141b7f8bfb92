"""SpeechWriter: sound files to which speech is appended."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from bark_onnx.runtime import AudioError, Speech, SpeechWriter
from tests.support.messages import assert_one_line

RATE = 24_000
FORMATS = ["wav", "flac", "ogg", "mp3", "opus"]


def speech(seconds: float, start_seconds: float = 0.0, level: float = 0.5) -> Speech:
    tokens = np.zeros((8, 8), np.int64)
    samples = level * np.sin(np.arange(round(seconds * RATE)) / 20)
    return Speech(
        samples.astype(np.float32),
        RATE,
        tokens[0],
        tokens[:2],
        tokens,
        "Hello",
        "",
        0,
        start_seconds,
    )


def write_until(path: Path, second: Callable[[], Any]) -> None:
    """Write one second, then the speech that `second` returns; an exception is raised."""
    with SpeechWriter(path, RATE) as file:
        file.write(speech(1))
        found = second()
        if isinstance(found, BaseException):
            raise found
        file.write(found)


@pytest.mark.parametrize("suffix", FORMATS)
def test_one_speech_gives_the_bytes_of_its_own_file(tmp_path: Path, suffix: str) -> None:
    single = speech(2)
    single.save(tmp_path / f"a.{suffix}")
    with SpeechWriter(tmp_path / f"b.{suffix}", RATE) as file:
        file.write(single)
    first, second = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in "ab")
    assert first == second
    assert len(list(tmp_path.iterdir())) == 2


def test_speeches_are_placed_at_their_start_after_silence(tmp_path: Path) -> None:
    one, two = speech(1), speech(0.5, 1.25)
    with SpeechWriter(tmp_path / "a.wav", RATE) as file:
        file.write(one)
        assert file.seconds == 1
        file.write(two)
        assert file.seconds == 1.75
    samples, rate = soundfile.read(tmp_path / "a.wav", dtype="float32")
    expected = np.concatenate([one.samples, np.zeros(RATE // 4), two.samples])
    assert rate == RATE
    np.testing.assert_allclose(samples, expected, atol=1e-4)


def test_speeches_without_a_start_follow_each_other(tmp_path: Path) -> None:
    with SpeechWriter(tmp_path / "a.wav", RATE) as file:
        file.write(speech(1))
        file.write(speech(1))
    assert soundfile.info(tmp_path / "a.wav").frames == 2 * RATE


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_speech_written_before_an_interrupt_can_be_played(
    tmp_path: Path, suffix: str, error: type[BaseException]
) -> None:
    path = tmp_path / f"a.{suffix}"
    with pytest.raises(error):
        write_until(path, error)
    samples, _ = soundfile.read(path)
    assert RATE <= len(samples) < 1.2 * RATE
    assert samples.std() > 0.1
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_an_interrupt_before_the_first_speech_keeps_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), SpeechWriter(tmp_path / "a.wav", RATE):
        raise KeyboardInterrupt
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.wav": b"old"}


@pytest.mark.parametrize("suffix", FORMATS)
def test_empty_speech_is_a_readable_file_or_an_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix in ("wav", "ogg"):
        with SpeechWriter(path, RATE) as file:
            file.write(speech(0))
        assert soundfile.info(path).frames == 0
        return
    with pytest.raises(AudioError) as caught, SpeechWriter(path, RATE) as file:
        file.write(speech(0))
    assert_one_line(caught.value, path.name, "no audio was generated", "wav, ogg or raw")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [("a.m4a", ("'.m4a'", "unknown")), ("nowhere/a.wav", ("nowhere", "no such folder"))],
)
def test_a_path_is_checked_before_the_block(
    tmp_path: Path, name: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(AudioError) as caught:
        SpeechWriter(tmp_path / name, RATE)
    assert_one_line(caught.value, *words)


def test_a_full_disk_is_one_line_and_keeps_earlier_speech(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fill_disk() -> Speech:
        monkeypatch.setattr(soundfile.SoundFile, "write", full)
        return speech(1)

    with pytest.raises(AudioError) as caught:
        write_until(tmp_path / "a.wav", fill_disk)
    assert_one_line(caught.value, "a.wav", "cannot be written", "No space left on device")
    assert soundfile.info(tmp_path / "a.wav").frames == RATE
