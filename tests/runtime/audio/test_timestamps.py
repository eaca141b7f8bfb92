"""Timestamps of segments as JSON, SubRip and WebVTT."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from bark_onnx.runtime import AudioError
from bark_onnx.runtime.audio.timestamps import Timestamp, check_timestamps_path, write_timestamps
from tests.support.messages import assert_one_line

STAMPS = [
    Timestamp("Hello,\n\nworld <b> & more", 0.0, 1.5, ""),
    Timestamp("你好", 1.75, 3723.0004, "Anna"),
]


def test_timestamps_as_json(tmp_path: Path) -> None:
    write_timestamps(tmp_path / "a.json", STAMPS)
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == {
        "segments": [
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

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(AudioError) as caught:
        write_timestamps(tmp_path / "a.json", STAMPS)
    assert_one_line(caught.value, "a.json", "cannot be written", "No space left on device")
    assert list(tmp_path.iterdir()) == []
