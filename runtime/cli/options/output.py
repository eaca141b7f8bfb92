"""Options that say where the sound goes; what excludes each other is refused before any work."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from bark_onnx.graphs.errors import OptionsError
from bark_onnx.runtime.audio.files.formats import (
    FORMATS,
    FileFormat,
    check_format,
    check_rate,
)
from bark_onnx.runtime.audio.files.sound_file import check_audio_path
from bark_onnx.runtime.audio.player import find_player
from bark_onnx.runtime.audio.plot.plot import check_plot_path
from bark_onnx.runtime.audio.timestamps import check_timestamps_path

STANDARD_OUTPUT = "-"
_NAME = "speech"  # of the file, where none is given

_OPTIONS = (
    click.option(
        "-o",
        "--output",
        type=click.Path(),
        help="Sound file; the suffix names the format: wav, flac, ogg, mp3 or opus. "
        '"-": standard output. With --lines, a folder or a pattern. Default: speech.wav.',
    ),
    click.option(
        "--format",
        "audio_format",
        type=click.Choice(list(FORMATS)),
        help="Format where no suffix says it; default: wav.",
    ),
    click.option(
        "--raw",
        "audio_format",
        flag_value="raw",
        help="As --format raw: samples without a header, signed 16 bits, little-endian, mono.",
    ),
    click.option(
        "--sample-rate",
        "sample_rate_hz",
        type=int,
        metavar="HZ",
        help="Convert to this rate; default: the model's, 24000.",
    ),
    click.option(
        "--play",
        is_flag=True,
        help="Play each piece as soon as it is said; without -o, write no file.",
    ),
    click.option(
        "--lines",
        is_flag=True,
        help="One file per line of the text: -o FOLDER/, or a pattern such as -o line-{n:03}.wav.",
    ),
    click.option(
        "--timestamps",
        type=click.Path(),
        help="Write when each piece is said; the suffix names the format: json, srt or vtt.",
    ),
    click.option(
        "--plot",
        type=click.Path(),
        help="Draw waveform and spectrogram; the suffix names the format: png, svg or pdf.",
    ),
    click.option(
        "--no-metadata",
        is_flag=True,
        help="Leave out of the sound file how it was made: text, voice, seed and settings.",
    ),
    click.option(
        "--json", "as_json", is_flag=True, help="Say what was done as one JSON object a line."
    ),
)
OUTPUT = (
    *("output", "audio_format", "sample_rate_hz", "play", "lines", "timestamps", "as_json"),
    *("no_metadata", "plot"),
)


@dataclass(frozen=True)
class Output:
    """Where the sound goes, and what goes with it.

    Raises:
        AudioError: something cannot be written there, or not in that format or rate.
        OptionsError: two options exclude each other.
    """

    output: str | None = None  # "-": standard output; with `lines`, a folder or a pattern
    audio_format: str | None = None  # None: what the suffix says, or else wav
    sample_rate_hz: int | None = None  # None: the model's
    play: bool = False
    lines: bool = False  # a file per line
    timestamps: str | None = None  # file that says when each piece is said
    as_json: bool = False
    no_metadata: bool = False  # files do not tell how they were made
    plot: str | None = None  # picture of the sound

    def __post_init__(self) -> None:
        if self.sample_rate_hz is not None:
            check_rate(self.sample_rate_hz)
        if self.play:
            find_player()
        if self.lines:
            self._check_lines()
        elif self.to_stdout:
            _check_stdout()
            check_format(self.stream_format, self.sample_rate_hz)
        elif self.path is not None:
            check_audio_path(self.path, self.audio_format, self.sample_rate_hz)
        elif self.audio_format is not None:
            raise OptionsError(
                f"--format {self.audio_format} is for a file or standard output; add -o, or leave "
                "it out with --play alone"
            )
        if self.timestamps is not None and not self.lines:
            check_timestamps_path(Path(self.timestamps))
        if self.plot is not None:
            check_plot_path(Path(self.plot))

    @property
    def to_stdout(self) -> bool:
        """Whether the sound goes to standard output."""
        return self.output == STANDARD_OUTPUT

    @property
    def path(self) -> Path | None:
        """The sound file; None where there is none."""
        if self.output is None:
            return None if self.play else Path(f"{_NAME}.{self.audio_format or 'wav'}")
        return None if self.to_stdout else Path(self.output)

    @property
    def stream_format(self) -> FileFormat:
        """What standard output gets."""
        return FORMATS[self.audio_format or "wav"]

    def _check_lines(self) -> None:
        if self.play:
            raise OptionsError("--lines and --play exclude each other; expected one of them")
        if self.plot is not None:
            raise OptionsError("--lines and --plot exclude each other; expected one of them")
        if self.output is None or self.to_stdout:
            raise OptionsError(
                "--lines writes many files; expected -o with a folder, as -o out/, or a pattern, "
                "as -o line-{n:03}.wav"
            )


def output_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options for the names in `OUTPUT`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def _check_stdout() -> None:
    if sys.stdout is None:
        raise OptionsError("Standard output is closed; expected a pipe or a file")
    if sys.stdout.isatty():
        raise OptionsError(
            "Standard output is a terminal, which cannot show sound; expected a pipe, a file "
            "(-o speech.wav) or --play"
        )
