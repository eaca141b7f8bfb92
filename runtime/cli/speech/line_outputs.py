"""Paths of the files that --lines writes."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from bark_onnx.graphs.errors import AudioError, OptionsError
from bark_onnx.runtime.audio.files.formats import check_format, choose_format
from bark_onnx.runtime.audio.files.sound_file import check_audio_path
from bark_onnx.runtime.audio.timestamps import check_timestamps_path
from bark_onnx.runtime.cli.options.output import OutputOptions

_NUMBER = re.compile(r"\{n(?::0(\d{1,2}))?\}")  # {n}, {n:03}
_MIN_DIGITS = 3  # of a number in a folder


@dataclass(frozen=True)
class LineOutput:
    """Files of one line."""

    number: int  # of the line, from 1, as an editor counts
    sound: Path
    timestamps: Path | None


def plan_line_outputs(output: OutputOptions, numbers: list[int]) -> list[LineOutput]:
    """The checked files of lines, by ascending numbers. A folder need not exist yet.

    Raises:
        OptionsError: All lines would be written to one file.
        AudioError: A path is not writable, or the format or the rate does not suit it.
    """
    files = [
        LineOutput(number, sound, _timestamps_path(output, number))
        for number, sound in zip(numbers, _sound_paths(output, numbers), strict=True)
    ]
    for file in files:
        if file.sound.parent.is_dir():
            check_audio_path(file.sound, output.audio_format)
        if file.timestamps is not None:
            check_timestamps_path(file.timestamps)
    check_format(choose_format(files[0].sound, output.audio_format), output.sample_rate_hz)
    return files


def _sound_paths(output: OutputOptions, numbers: list[int]) -> list[Path]:
    assert output.output is not None
    if _NUMBER.search(output.output):
        paths = [_numbered(output.output, number) for number in numbers]
        for path in paths:
            check_audio_path(path, output.audio_format)
        return paths
    folder = Path(output.output)
    if not folder.is_dir() and not output.output.endswith(("/", os.sep)):
        raise OptionsError(
            f"--lines would write every line to {output.output}; expected a folder, as -o out/, or "
            "a pattern, as -o line-{n:03}.wav"
        )
    _check_folder(folder)
    name = output.audio_format or "wav"
    digits = max(_MIN_DIGITS, len(str(numbers[-1])))
    return [folder / f"{number:0{digits}}.{name}" for number in numbers]


def _check_folder(folder: Path) -> None:
    """Check that a folder exists or can be created."""
    if folder.is_dir():
        return
    if folder.exists():
        raise AudioError(f"{folder} is a file; expected a folder")
    if not folder.parent.is_dir():
        raise AudioError(f"{folder.parent}: no such folder; create it or choose another")
    if not os.access(folder.parent, os.W_OK):
        raise AudioError(f"{folder.parent}: may not be written to; choose another folder")


def _timestamps_path(output: OutputOptions, number: int) -> Path | None:
    if output.timestamps is None:
        return None
    if not _NUMBER.search(output.timestamps):
        raise OptionsError(
            f"--lines would write the times of every line to {output.timestamps}; expected a "
            "pattern, as --timestamps line-{n:03}.srt"
        )
    return _numbered(output.timestamps, number)


def _numbered(pattern: str, number: int) -> Path:
    return Path(_NUMBER.sub(lambda found: f"{number:0{int(found[1] or 0)}}", pattern))
