"""Speech through a pipe: each segment is sent once it is generated, with the sound of a file."""

import errno
import io
import os
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from bark_onnx.runtime import AudioError, Speech, SpeechWriter
from bark_onnx.runtime.audio.encoders.stream import SpeechStream
from bark_onnx.runtime.audio.files.formats import FORMATS
from tests.support.messages import assert_one_line

RATE = 24_000
COMPRESSED = ["flac", "ogg", "opus", "mp3"]


class Pipe(io.RawIOBase):
    """Can only be written to; keeps what is flushed."""

    name = "<stdout>"

    def __init__(self) -> None:
        self.data = b""
        self.flushed = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += bytes(data)
        return len(data)

    def flush(self) -> None:
        self.flushed = len(self.data)

    def seek(self, *_: object) -> int:
        raise OSError(errno.ESPIPE, os.strerror(errno.ESPIPE))


def speech(second: int) -> Speech:
    tokens = np.zeros((8, 8), np.int64)
    samples = 0.4 * np.sin(np.arange(second * RATE, (second + 1) * RATE) / 20)
    noise = np.random.default_rng(second).standard_normal(RATE)
    whole = (samples + 0.01 * noise).astype(np.float32)
    return Speech(whole, RATE, tokens[0], tokens[:2], tokens, "Hi", "", 0, float(second))


def streamed(name: str, rate: int = RATE, seconds: int = 3) -> bytes:
    pipe = Pipe()
    with SpeechStream(pipe, rate, FORMATS[name]) as stream:
        for second in range(seconds):
            stream.write(speech(second))
            assert pipe.flushed == len(pipe.data)
    return pipe.data


def decoded(data: bytes) -> np.ndarray:
    with av.open(io.BytesIO(data)) as file:
        frames = [frame.to_ndarray().reshape(-1) for frame in file.decode(audio=0)]
    samples = np.concatenate(frames)
    return samples / 32768 if samples.dtype == np.int16 else samples


def file_of(path: Path, rate: int = RATE, seconds: int = 3) -> bytes:
    with SpeechWriter(path, rate, audio_format=None if path.suffix else "raw") as file:
        for second in range(seconds):
            file.write(speech(second))
    return path.read_bytes()


@pytest.mark.parametrize("name", ["ogg", "opus", "raw"])
@pytest.mark.parametrize("rate", [24_000, 48_000])
def test_a_stream_has_the_bytes_of_the_file(tmp_path: Path, name: str, rate: int) -> None:
    path = tmp_path / ("a" if name == "raw" else f"a.{name}")
    assert streamed(name, rate) == file_of(path, rate)


def test_a_wav_stream_has_an_unknown_length_and_the_samples_of_the_file(tmp_path: Path) -> None:
    data = streamed("wav")
    assert data[:4] + data[8:16] + data[36:40] == b"RIFFWAVEfmt data"
    assert data[4:8] == data[40:44] == b"\xff\xff\xff\xff"
    assert data[44:] == file_of(tmp_path / "a.wav")[44:]


@pytest.mark.parametrize("name", COMPRESSED)
@pytest.mark.parametrize("rate", [16_000, 24_000, 48_000])
def test_a_stream_plays_to_its_end(name: str, rate: int) -> None:
    data = streamed(name, rate)
    found = decoded(data)
    assert found.size
    seconds = found.size / (48_000 if name == "opus" else rate)
    assert seconds == pytest.approx(3, abs=0.15)  # lossy formats pad their frames
    assert found.std() == pytest.approx(0.4 / np.sqrt(2), rel=0.03)
    if name != "flac":  # soundfile rejects its unknown length
        samples, found_rate = soundfile.read(io.BytesIO(data))
        assert found_rate == rate
        assert len(samples) / rate == pytest.approx(3, abs=0.15)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_most_of_a_segment_is_sent_before_the_next_is_generated(name: str) -> None:
    pipe = Pipe()
    with SpeechStream(pipe, RATE, FORMATS[name]) as stream:
        sizes = []
        for second in range(6):
            stream.write(speech(second))
            sizes.append(pipe.flushed)
    assert sizes[0] > 0
    assert sizes[-1] > 0.7 * len(pipe.data)


@pytest.mark.parametrize("name", ["wav", "ogg", "mp3"])
def test_a_stream_ends_properly_when_it_is_interrupted(name: str) -> None:
    pipe = Pipe()

    def interrupted() -> None:
        with SpeechStream(pipe, 48_000, FORMATS[name]) as stream:
            stream.write(speech(0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert decoded(pipe.data).size / 48_000 == pytest.approx(1, abs=0.15)


def test_a_closed_pipe_is_raised_as_it_is_and_a_full_disk_in_one_line() -> None:
    class Broken(Pipe):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

        def write(self, data: Any) -> int:
            raise OSError(self.number, os.strerror(self.number))

    def send(number: int) -> None:
        with SpeechStream(Broken(number), RATE, FORMATS["wav"]) as stream:
            stream.write(speech(0))

    with pytest.raises(BrokenPipeError):
        send(errno.EPIPE)
    with pytest.raises(AudioError) as caught:
        send(errno.ENOSPC)
    assert_one_line(caught.value, "<stdout>: cannot be written (No space left on device)")


def test_an_unsupported_rate_is_refused() -> None:
    with pytest.raises(AudioError) as caught:
        SpeechStream(Pipe(), 44_100, FORMATS["opus"])
    assert_one_line(caught.value, "opus cannot have 44100 Hz", "24000")
