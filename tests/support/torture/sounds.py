"""A sound file that is there before a command, and checks of those that it writes."""

import io
import wave
from pathlib import Path

import numpy as np
import soundfile


def tone() -> bytes:
    """A sound file, as an earlier command has left it."""
    file = io.BytesIO()
    samples = np.sin(np.arange(2400) / 9) * 9000
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(24_000)
        sound.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()


def check_readable_sound(path: Path) -> None:
    """Check that a file is sound: frames, all of them finite."""
    with path.open("rb") as file:  # soundfile refuses names that are not valid UTF-8
        samples, rate_hz = soundfile.read(file, dtype="float32")
    assert rate_hz >= 8000
    assert len(samples) > 0, f"{path.name} has no frames"
    assert np.isfinite(samples).all(), f"{path.name} has samples that are not finite"


def check_sound(path: Path) -> None:
    """Check that a file has sound that is not constant."""
    check_readable_sound(path)
    assert np.ptp(soundfile.read(path)[0]) > 0, f"{path.name} is constant"
