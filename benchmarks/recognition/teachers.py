"""Recordings of Festival Lite's voices, from which the demo learnt."""

import subprocess
import tempfile
from pathlib import Path

import click
import numpy as np
import soundfile
from numpy.typing import NDArray

# Voices of the demo's bundle, and of Festival Lite.
DEMO_TEACHERS = {"v2/en_speaker_0": "slt", "v2/en_speaker_1": "rms"}


class Flite:
    """A voice of Festival Lite.

    Args:
        voice: Name of a built-in voice, such as "slt".

    Raises:
        click.ClickException: The program is not installed, or lacks the voice.
    """

    def __init__(self, voice: str) -> None:
        try:
            listed = subprocess.run(["flite", "-lv"], capture_output=True, text=True, check=True)
        except FileNotFoundError as error:
            raise click.ClickException(
                "flite is not installed; expected Festival Lite for the teacher's recordings: "
                "apt install flite, or pass --no-teachers"
            ) from error
        voices = listed.stdout.partition(":")[2].split()
        if voice not in voices:
            raise click.ClickException(
                f"flite has no voice {voice!r}; expected one of {', '.join(sorted(voices))}"
            )
        self.voice = voice

    def record(self, text: str) -> tuple[NDArray[np.float32], int]:
        """A text as float32 samples (n,), and their rate."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "speech.wav"
            command = ["flite", "-voice", self.voice, "-t", text, "-o", str(path)]
            subprocess.run(command, check=True, capture_output=True)
            samples, rate = soundfile.read(path, dtype="float32")
        return samples, rate
