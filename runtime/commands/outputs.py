"""Options that say where the sound goes, checked before any work is done."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from bark_onnx.runtime.audio.speech import check_audio_path
from bark_onnx.runtime.audio.timestamps import check_timestamps_path

_OPTIONS = (
    click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        default="speech.wav",
        show_default=True,
        help="Sound file; the suffix names the format: wav, flac, ogg or mp3.",
    ),
    click.option(
        "--timestamps",
        type=click.Path(path_type=Path),
        help="Write when each piece is said; the suffix names the format: json, srt or vtt.",
    ),
    click.option(
        "--no-metadata",
        is_flag=True,
        help="Leave out of the sound file how it was made: text, voice, seed and settings.",
    ),
)
OUTPUT = ("output", "timestamps", "no_metadata")


@dataclass(frozen=True)
class Output:
    """Where the sound goes, and what goes with it.

    Raises:
        AudioError: something cannot be written there.
    """

    output: Path  # of the sound
    timestamps: Path | None  # when each piece is said
    no_metadata: bool = False  # the file does not tell how it was made

    def __post_init__(self) -> None:
        check_audio_path(self.output)
        if self.timestamps is not None:
            check_timestamps_path(self.timestamps)


def output_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add one option per name in `OUTPUT`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
