"""Ogg: the same bytes for the same sound."""

from pathlib import Path

import numpy as np
import pytest
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
        with (tmp_path / f"{name}.ogg").open("r+b", buffering=0) as file:
            fix_serial(file)
    first, second = ((tmp_path / f"{name}.ogg").read_bytes() for name in "ab")
    assert first == second
    assert first not in raw
    after, _ = soundfile.read(tmp_path / "a.ogg")  # checks the checksums of pages
    np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("lost_bytes", [1, 20, 3000])
def test_page_that_is_cut_off_is_removed(tmp_path: Path, lost_bytes: int) -> None:
    path = tmp_path / "a.ogg"
    soundfile.write(path, 0.5 * np.sin(np.arange(60 * RATE) / 20), RATE, format="OGG")
    path.write_bytes(path.read_bytes()[:-lost_bytes])
    with path.open("r+b", buffering=0) as file:
        fix_serial(file)
    samples, _ = soundfile.read(path)
    assert 30 * RATE < len(samples) <= 60 * RATE
