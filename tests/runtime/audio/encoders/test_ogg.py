"""Ogg: the same bytes for the same sound."""

from pathlib import Path

import numpy as np
import soundfile

from bark_onnx.runtime.audio.encoders.ogg import fix_serial

RATE = 24_000


def test_ogg_files_of_the_same_sound_are_equal(tmp_path: Path) -> None:
    samples = 0.5 * np.sin(np.arange(3 * RATE) / 20)
    for name in "ab":
        soundfile.write(tmp_path / f"{name}.ogg", samples, RATE, format="OGG")
    raw = [(tmp_path / f"{name}.ogg").read_bytes() for name in "ab"]
    before, _ = soundfile.read(tmp_path / "a.ogg")
    for name in "ab":
        fix_serial(tmp_path / f"{name}.ogg")
    first, second = ((tmp_path / f"{name}.ogg").read_bytes() for name in "ab")
    assert first == second
    assert first not in raw
    after, _ = soundfile.read(tmp_path / "a.ogg")  # checks the checksums of pages
    np.testing.assert_array_equal(after, before)
