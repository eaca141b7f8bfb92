"""Options of the output; those that exclude each other are refused before any work."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from bark_onnx.graphs.command_line import add_options, grouped_option
from bark_onnx.graphs.errors import OptionsError
from bark_onnx.runtime.audio.files.formats import FORMATS, FileFormat, check_format, check_rate
from bark_onnx.runtime.audio.files.sound_file import check_audio_path
from bark_onnx.runtime.audio.player import find_player
from bark_onnx.runtime.audio.plot import check_plot_path
from bark_onnx.runtime.audio.timestamps import check_timestamps_path

STANDARD_OUTPUT = "-"
_STANDARD_OUTPUT_PATHS = ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
_DEFAULT_STEM = "speech"  # of the sound file
_option = grouped_option("Output")

output_options = add_options(
    _option(
        "-o",
        "--output",
        type=click.Path(),
        help='Sound file: wav, flac, ogg, mp3 or opus; "-": standard output; with --lines, FOLDER/ '
        "or a pattern. Default: speech.wav.",
    ),
    _option(
        "--format",
        "audio_format",
        type=click.Choice(list(FORMATS)),
        metavar="NAME",
        help="Format of an output without a suffix. Default: wav.",
    ),
    _option(
        "--raw",
        is_flag=True,
        help="Samples without a header: 16 bits, little-endian, mono.",
    ),
    _option(
        "--sample-rate",
        "sample_rate_hz",
        type=int,
        metavar="HZ",
        help="Sample rate. Default: the model's, 24000.",
    ),
    _option("--play", is_flag=True, help="Play each segment once generated; no file without -o."),
    _option("--lines", is_flag=True, help="Write a file per line: -o FOLDER/ or line-{n:03}.wav."),
    _option("--timestamps", type=click.Path(), help="Write the segments' times: json, srt or vtt."),
    _option("--plot", type=click.Path(), help="Draw waveform and spectrogram: png, svg or pdf."),
    _option("--no-metadata", is_flag=True, help="Omit text, voice, seed and settings from files."),
    _option(
        "--json", "as_json", is_flag=True, help="Print the summary as JSON, an object per file."
    ),
)


@dataclass(frozen=True)
class OutputOptions:
    """Where the sound is written, and what accompanies it.

    Raises:
        AudioError: A path is not writable, or the format or the rate does not suit it.
        OptionsError: Two options exclude each other.
    """

    output: str | None = None  # "-": standard output; with `lines`, a folder or a pattern
    audio_format: str | None = None  # None: that of the suffix, or else wav
    sample_rate_hz: int | None = None  # None: the model's
    play: bool = False
    lines: bool = False  # write a file per line
    timestamps: str | None = None  # path of a file with the times of segments
    as_json: bool = False
    no_metadata: bool = False  # files have no provenance
    plot: str | None = None  # path of a picture of the sound
    raw: bool = False  # the same as the format "raw"

    def __post_init__(self) -> None:
        if self.output in _STANDARD_OUTPUT_PATHS:
            object.__setattr__(self, "output", STANDARD_OUTPUT)
        if self.raw:
            if self.audio_format is not None:
                raise OptionsError(
                    f"--raw and --format {self.audio_format} exclude each other; expected one of "
                    "them"
                )
            object.__setattr__(self, "audio_format", "raw")
        for flag in ("output", "timestamps", "plot"):
            check_file_name(f"--{flag}", getattr(self, flag), may_be_folder=self.lines)
        if self.sample_rate_hz is not None:
            check_rate(self.sample_rate_hz)
        if self.play:
            find_player()
        if self.lines:
            self._check_lines()
        elif self.to_stdout:
            if sys.stdout is None:
                raise OptionsError("Standard output is closed; expected a pipe or a file")
            if sys.stdout.isatty():
                raise OptionsError(
                    "Standard output is a terminal, which cannot play sound; expected a pipe, a "
                    "file (-o speech.wav) or --play"
                )
            check_format(self.stream_format, self.sample_rate_hz)
        elif self.path is not None:
            check_audio_path(self.path, self.audio_format, self.sample_rate_hz)
        elif self.audio_format is not None:
            raise OptionsError(
                f"--format {self.audio_format} is for a file or standard output; add -o, or omit "
                "it with --play alone"
            )
        if self.timestamps is not None and not self.lines:
            check_timestamps_path(Path(self.timestamps))
        if self.plot is not None:
            check_plot_path(Path(self.plot))

    @property
    def to_stdout(self) -> bool:
        """Whether the sound is written to standard output."""
        return self.output == STANDARD_OUTPUT

    @property
    def path(self) -> Path | None:
        """The sound file; None: the sound is streamed or only played."""
        if self.output is None:
            return None if self.play else Path(f"{_DEFAULT_STEM}.{self.audio_format or 'wav'}")
        return None if self.to_stdout else Path(self.output)

    @property
    def display_name(self) -> str | None:
        """The destination in messages; None: the sound is only played."""
        if self.to_stdout:
            return "standard output"
        return None if self.path is None else str(self.path)

    @property
    def stream_format(self) -> FileFormat:
        """Format of standard output."""
        return FORMATS[self.audio_format or "wav"]

    def _check_lines(self) -> None:
        if self.play or self.plot is not None:
            other = "--play" if self.play else "--plot"
            raise OptionsError(f"--lines and {other} exclude each other; expected one of them")
        if self.output is None or self.to_stdout:
            raise OptionsError(
                "--lines writes many files; expected -o with a folder, as -o out/, or a pattern, "
                "as -o line-{n:03}.wav"
            )


def check_file_name(flag: str, name: str | None, *, may_be_folder: bool = False) -> None:
    """Check that an option names a file: a path would lose the end that makes it a folder's.

    Raises:
        OptionsError: The name is empty, or that of a folder.
    """
    if name == "":
        raise OptionsError(f"{flag} is empty; expected the name of a file")
    if name is not None and name.endswith(("/", os.sep)) and not may_be_folder:
        raise OptionsError(f"{flag} {name} is a folder; expected the name of a file")
