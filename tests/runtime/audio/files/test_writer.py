"""Sound files that grow piece by piece, and the times that go with them."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from bark_onnx.runtime import AudioError, Speech, SpeechWriter
from bark_onnx.runtime.audio.encoders.ogg import fix_serial
from bark_onnx.runtime.audio.timestamps import Timestamp, check_timestamps_path, write_timestamps
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


# SpeechWriter


def write_until(path: Path, second: Callable[[], Any]) -> None:
    """Write one second, then what `second` gives; an error is raised in the middle."""
    with SpeechWriter(path, RATE) as file:
        file.write(speech(1))
        found = second()
        if isinstance(found, BaseException):
            raise found
        file.write(found)


@pytest.mark.parametrize("suffix", FORMATS)
def test_one_speech_gives_the_bytes_of_its_own_file(tmp_path: Path, suffix: str) -> None:
    said = speech(2)
    said.save(tmp_path / f"a.{suffix}")
    with SpeechWriter(tmp_path / f"b.{suffix}", RATE) as file:
        file.write(said)
    first, second = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in "ab")
    assert first == second
    assert len(list(tmp_path.iterdir())) == 2


def test_speeches_stand_where_they_begin_with_silence_between(tmp_path: Path) -> None:
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


def test_speeches_without_a_place_follow_each_other(tmp_path: Path) -> None:
    with SpeechWriter(tmp_path / "a.wav", RATE) as file:
        file.write(speech(1))
        file.write(speech(1))
    assert soundfile.info(tmp_path / "a.wav").frames == 2 * RATE


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_was_written_before_an_interrupt_can_be_played(
    tmp_path: Path, suffix: str, error: type[BaseException]
) -> None:
    path = tmp_path / f"a.{suffix}"
    with pytest.raises(error):
        write_until(path, error)
    samples, _ = soundfile.read(path)
    assert RATE <= len(samples) < 1.2 * RATE
    assert samples.std() > 0.1
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_an_interrupt_before_the_first_speech_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"what was there")
    with pytest.raises(KeyboardInterrupt), SpeechWriter(tmp_path / "a.wav", RATE):
        raise KeyboardInterrupt
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "a.wav": b"what was there"
    }


@pytest.mark.parametrize("suffix", FORMATS)
def test_nothing_said_is_a_readable_file_or_an_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix in ("wav", "ogg"):
        with SpeechWriter(path, RATE) as file:
            file.write(speech(0))
        assert soundfile.info(path).frames == 0
        return
    with pytest.raises(AudioError) as caught, SpeechWriter(path, RATE) as file:
        file.write(speech(0))
    assert_one_line(caught.value, path.name, "nothing was said")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [("a.m4a", ("'.m4a'", "unknown")), ("nowhere/a.wav", ("nowhere", "no such folder"))],
)
def test_a_path_is_checked_before_anything_is_said(
    tmp_path: Path, name: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(AudioError) as caught:
        SpeechWriter(tmp_path / name, RATE)
    assert_one_line(caught.value, *words)


def test_a_full_disk_is_one_line_and_keeps_what_was_said(
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


# Ogg


def test_ogg_files_of_the_same_sound_are_the_same(tmp_path: Path) -> None:
    samples = speech(3).samples
    for name in "ab":
        soundfile.write(tmp_path / f"{name}.ogg", samples, RATE, format="OGG")
    raw = [(tmp_path / f"{name}.ogg").read_bytes() for name in "ab"]
    before, _ = soundfile.read(tmp_path / "a.ogg")
    for name in "ab":
        fix_serial(tmp_path / f"{name}.ogg")
    first, second = ((tmp_path / f"{name}.ogg").read_bytes() for name in "ab")
    assert first == second
    assert first not in raw
    after, _ = soundfile.read(tmp_path / "a.ogg")  # which refuses pages with a wrong checksum
    np.testing.assert_array_equal(after, before)


# Timestamps

STAMPS = [
    Timestamp("Hello,\n\nworld <b> & more", 0.0, 1.5, ""),
    Timestamp("你好", 1.75, 3723.0004, "Anna"),
]


def test_timestamps_as_json(tmp_path: Path) -> None:
    write_timestamps(tmp_path / "a.json", STAMPS)
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == {
        "pieces": [
            {"text": "Hello,\n\nworld <b> & more", "start": 0.0, "end": 1.5},
            {"text": "你好", "start": 1.75, "end": 3723.0004, "speaker": "Anna"},
        ]
    }


def test_timestamps_as_subtitles(tmp_path: Path) -> None:
    write_timestamps(tmp_path / "a.srt", STAMPS)
    assert (tmp_path / "a.srt").read_text("utf-8") == (
        "1\n00:00:00,000 --> 00:00:01,500\nHello, world <b> & more\n\n"
        "2\n00:00:01,750 --> 01:02:03,000\nAnna: 你好\n"
    )


def test_timestamps_as_web_subtitles(tmp_path: Path) -> None:
    write_timestamps(tmp_path / "a.VTT", STAMPS)
    assert (tmp_path / "a.VTT").read_text("utf-8") == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHello, world &lt;b&gt; &amp; more\n\n"
        "00:00:01.750 --> 01:02:03.000\n<v Anna>你好\n"
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.txt", ("'.txt'", "unknown", ".json, .srt, .vtt")),
        ("nowhere/a.srt", ("nowhere", "no such folder")),
    ],
)
def test_timestamps_need_a_known_suffix_and_a_folder(
    tmp_path: Path, name: str, words: tuple[str, ...]
) -> None:
    for check in (check_timestamps_path, lambda path: write_timestamps(path, STAMPS)):
        with pytest.raises(AudioError) as caught:
            check(tmp_path / name)
        assert_one_line(caught.value, *words)
    assert list(tmp_path.iterdir()) == []


def test_timestamps_that_cannot_be_written_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(AudioError) as caught:
        write_timestamps(tmp_path / "a.json", STAMPS)
    assert_one_line(caught.value, "a.json", "cannot be written", "No space left on device")
    assert list(tmp_path.iterdir()) == []
