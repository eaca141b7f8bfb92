"""The length of mp3 files that are cut off, at every rate and so with every size of a frame."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from bark_onnx.runtime.audio.encoders.libsndfile import SampleWriter
from bark_onnx.runtime.audio.encoders.mp3 import set_length
from bark_onnx.runtime.audio.files.formats import FORMATS

MP3 = FORMATS["mp3"]


def encode(path: Path, rate_hz: int) -> None:
    writer = SampleWriter(str(path), MP3, rate_hz)
    writer.write(np.sin(np.arange(3 * rate_hz) / 20).astype(np.float32))
    writer.finish()


def length(path: Path) -> tuple[int, int]:
    """Samples by the header, and samples that can be decoded."""
    with soundfile.SoundFile(path) as sound:
        return sound.frames, len(sound.read())


@pytest.mark.parametrize("rate_hz", MP3.rates_hz)
@pytest.mark.parametrize("tag", [b"", b"ID3\4\0\0\0\0\1\2" + bytes(130)])
def test_whole_file_keeps_its_bytes(tmp_path: Path, rate_hz: int, tag: bytes) -> None:
    path = tmp_path / "a.mp3"
    encode(path, rate_hz)
    whole = tag + path.read_bytes()
    path.write_bytes(whole)
    with path.open("r+b", buffering=0) as file:
        set_length(file)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("rate_hz", MP3.rates_hz)
def test_frame_that_is_cut_off_is_removed_and_not_counted(tmp_path: Path, rate_hz: int) -> None:
    path = tmp_path / "a.mp3"
    encode(path, rate_hz)
    size, (stated, _) = path.stat().st_size, length(path)
    with path.open("r+b", buffering=0) as file:
        file.truncate(size // 2 + 7)
        set_length(file)
        assert size // 2 - 600 < file.seek(0, 2) <= size // 2 + 7
    found, decoded = length(path)
    assert found == decoded
    assert found == pytest.approx(stated / 2, abs=0.2 * rate_hz)


@pytest.mark.parametrize("contents", [b"", b"\xff", b"ID3", b"RIFF....", b"\xff\xfb\xff\xff" * 9])
def test_other_bytes_have_no_frame(tmp_path: Path, contents: bytes) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(contents)
    with path.open("r+b", buffering=0) as file:
        set_length(file)
    assert len(path.read_bytes()) <= len(contents)
