"""Timestamps of segments: JSON, SubRip and WebVTT files."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from bark_onnx.graphs.errors import AudioError
from bark_onnx.graphs.files.atomic_write import atomic_write, wrap_os_errors
from bark_onnx.runtime.audio.files.paths import check_file_path, check_suffix
from bark_onnx.runtime.audio.speech import Speech


@dataclass(frozen=True)
class Timestamp:
    """Start and end of a segment."""

    text: str
    start_seconds: float
    end_seconds: float
    speaker: str  # empty outside a dialogue

    @classmethod
    def of(cls, speech: Speech) -> "Timestamp":
        """The timestamp of a speech."""
        return cls(speech.text, speech.start_seconds, speech.end_seconds, speech.speaker)

    def fields(self) -> dict[str, Any]:
        """As in JSON: text, start and end in seconds, and the speaker of a dialogue."""
        return {
            "text": self.text,
            "start": round(self.start_seconds, 6),
            "end": round(self.end_seconds, 6),
            **({"speaker": self.speaker} if self.speaker else {}),
        }


def check_timestamps_path(path: Path) -> None:
    """Check, before any work is done, that timestamps can be written.

    Raises:
        AudioError: The suffix is unknown, or the folder is missing or write-protected.
    """
    check_suffix(path, _WRITERS)
    check_file_path(path)


def write_timestamps(path: Path, timestamps: Sequence[Timestamp]) -> None:
    """Write timestamps in the format of the suffix: json, srt or vtt.

    Raises:
        AudioError: The suffix is unknown or the file cannot be written.
    """
    check_timestamps_path(path)
    text = _WRITERS[path.suffix.lower()](timestamps)
    with wrap_os_errors(AudioError, f"{path}: cannot be written"), atomic_write(path) as file:
        file.write(text.encode())


def _json(timestamps: Sequence[Timestamp]) -> str:
    segments = [stamp.fields() for stamp in timestamps]
    return json.dumps({"segments": segments}, ensure_ascii=False, indent=2) + "\n"


def _srt(timestamps: Sequence[Timestamp]) -> str:
    cues = []
    for number, stamp in enumerate(timestamps, 1):
        text = _one_line(stamp.text)
        line = f"{stamp.speaker}: {text}" if stamp.speaker else text
        cues.append(f"{number}\n{_times(stamp, ',')}\n{line}\n")
    return "\n".join(cues)


def _vtt(timestamps: Sequence[Timestamp]) -> str:
    cues = ["WEBVTT\n"]
    for stamp in timestamps:
        text = escape(_one_line(stamp.text), quote=False)
        voice = f"<v {escape(stamp.speaker, quote=False)}>" if stamp.speaker else ""
        cues.append(f"{_times(stamp, '.')}\n{voice}{text}\n")
    return "\n".join(cues)


def _one_line(text: str) -> str:
    return " ".join(text.split())  # a blank line would end the cue


def _times(stamp: Timestamp, separator: str) -> str:
    return f"{_time(stamp.start_seconds, separator)} --> {_time(stamp.end_seconds, separator)}"


def _time(seconds: float, separator: str) -> str:
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    rest = f"{milliseconds // 1000:02d}{separator}{milliseconds % 1000:03d}"
    return f"{hours:02d}:{minutes:02d}:{rest}"


_WRITERS: dict[str, Callable[[Sequence[Timestamp]], str]] = {
    ".json": _json,
    ".srt": _srt,
    ".vtt": _vtt,
}
