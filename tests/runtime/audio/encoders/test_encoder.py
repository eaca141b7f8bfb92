"""Encoders: the command and the server get the same bytes, however the samples are divided."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import get_args

import av
import numpy as np
import pytest
import soundfile

from bark_onnx.runtime import AudioError, Speech, SpeechWriter
from bark_onnx.runtime.audio.encoders.buffer import AppendOnlyBuffer
from bark_onnx.runtime.audio.encoders.encoder import open_encoder
from bark_onnx.runtime.audio.encoders.pcm import pcm_bytes
from bark_onnx.runtime.audio.encoders.stream import SpeechStream
from bark_onnx.runtime.audio.files.formats import (
    FORMATS,
    MEDIA_TYPES,
    RESPONSE_FORMATS,
    SIZED_FORMATS,
    ResponseFormat,
)
from tests.support.messages import assert_one_line

RATE = 24_000
ALL = {**FORMATS, **RESPONSE_FORMATS}


def sound(seconds: float = 2) -> np.ndarray:
    """A tone of changing level, with noise."""
    rng = np.random.default_rng(0)
    count = round(seconds * RATE)
    level = np.repeat(rng.random(count // 2400 + 1), 2400)[:count]
    tone = 0.4 * level * np.sin(np.arange(count) / 20) + 0.02 * rng.standard_normal(count)
    return tone.astype(np.float32)


def encoded(
    name: str, chunks: Iterable[np.ndarray], *, streamed: bool = True, rate: int = RATE
) -> bytes:
    encoder = open_encoder(ALL[name], rate, streamed=streamed)
    return b"".join([*map(encoder.add, chunks), encoder.finish()])


def decoded(data: bytes) -> np.ndarray:
    with av.open(io.BytesIO(data)) as file:
        resampler = av.AudioResampler(format="flt", layout="mono")
        frames = [part for frame in file.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def divided(samples: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
    """Samples in chunks of these sizes, again and again."""
    ends = np.cumsum(np.tile(sizes, len(samples) // sum(sizes) + 1))
    return np.split(samples, ends[ends < len(samples)])


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("streamed", [False, True])
def test_bytes_do_not_depend_on_the_division_into_chunks(name: str, streamed: bool) -> None:
    samples = sound()
    whole = encoded(name, [samples], streamed=streamed)
    for sizes in ([7], [960], [1024], [1, 5000, 0, 333]):
        assert encoded(name, divided(samples, sizes), streamed=streamed) == whole, sizes


@pytest.mark.parametrize("name", sorted(RESPONSE_FORMATS.keys() - {"aac"}))
def test_the_command_streams_the_bytes_of_the_server(name: ResponseFormat) -> None:
    tokens = np.zeros((8, 8), np.int64)
    samples = sound()
    pipe = io.BytesIO()
    with SpeechStream(pipe, RATE, FORMATS["raw" if name == "pcm" else name]) as stream:
        for index, part in enumerate(np.split(samples, 4)):
            start = index * len(part) / RATE
            stream.write(Speech(part, RATE, tokens[0], tokens[:2], tokens, "", "", 0, start))
    assert pipe.getvalue() == encoded(name, divided(samples, [1234]))


def file_of(path: Path, samples: np.ndarray) -> bytes:
    tokens = np.zeros((8, 8), np.int64)
    with SpeechWriter(path, RATE) as file:
        file.write(Speech(samples, RATE, tokens[0], tokens[:2], tokens, "", "", 0))
    return path.read_bytes()


def mpeg_frames(data: bytes) -> list[bytes]:
    """The frames of an mp3 file or stream at 24 kHz, without a tag in front."""
    if data[:3] == b"ID3":
        size = sum(byte << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True))
        data = data[10 + size :]
    bitrates = (None, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)  # MPEG 2, layer 3
    frames = []
    while data:
        assert data[:2] == b"\xff\xf3", "no header of a frame"
        kilobits = bitrates[data[2] >> 4]
        assert kilobits is not None
        size = 72 * kilobits * 1000 // RATE + (data[2] >> 1 & 1)
        frames.append(data[:size])
        data = data[size:]
    return frames


def test_an_mp3_file_has_the_frames_of_the_stream_after_one_with_the_length(
    tmp_path: Path,
) -> None:
    length, *frames = mpeg_frames(file_of(tmp_path / "a.mp3", sound()))
    assert b"Info" in length
    assert frames == mpeg_frames(encoded("mp3", [sound()]))
    assert len(frames) > 80
    assert {len(frame) for frame in frames} == {192}  # 64 kbit/s, all of them


@pytest.mark.parametrize("name", ["flac", "ogg", "opus", "mp3"])
def test_a_sound_that_is_not_streamed_has_the_bytes_of_the_file(tmp_path: Path, name: str) -> None:
    assert encoded(name, [sound()], streamed=False) == file_of(tmp_path / f"a.{name}", sound())


@pytest.mark.parametrize("name", sorted(SIZED_FORMATS))
def test_a_header_states_the_length_unless_the_sound_is_streamed(name: ResponseFormat) -> None:
    whole = encoded(name, [sound()], streamed=False)
    assert soundfile.info(io.BytesIO(whole)).frames == len(sound())
    streamed = encoded(name, [sound()])
    if name == "wav":
        assert streamed[40:44] == b"\xff\xff\xff\xff"
    else:  # the number of samples is the lower 36 bits
        assert int.from_bytes(streamed[18:26], "big") & (2**36 - 1) == 0


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_sound_without_samples_can_be_opened(name: str, streamed: bool) -> None:
    data = encoded(name, [sound()[:0]], streamed=streamed)
    if name in ("raw", "pcm"):
        assert data == b""
    elif ALL[name].can_be_empty:
        assert soundfile.info(io.BytesIO(data)).frames in (0, 2**63 - 1, 0x7FFFFFFF)
    else:
        samples = decoded(data)
        assert 0.05 < len(samples) / (48_000 if name == "opus" else RATE) < 0.25
        assert np.abs(samples).max() < 0.01


def test_every_response_format_has_a_media_type() -> None:
    assert tuple(RESPONSE_FORMATS) == get_args(ResponseFormat)
    assert tuple(MEDIA_TYPES.items()) == (
        *(("mp3", "audio/mpeg"), ("opus", "audio/opus"), ("aac", "audio/aac")),
        *(("flac", "audio/flac"), ("wav", "audio/wav"), ("pcm", "audio/pcm")),
    )
    assert sorted(SIZED_FORMATS) == ["flac", "wav"]


@pytest.mark.parametrize("rate", FORMATS["mp3"].rates_hz)
def test_mp3_is_as_loud_as_the_samples(rate: int) -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate).astype(np.float32)
    middle = slice(rate // 2, -rate // 2)
    for level in (0.5, 1):
        found = decoded(encoded("mp3", [level * tone], rate=rate))
        assert found[middle].std() == pytest.approx(level / np.sqrt(2), rel=0.01)


@pytest.mark.parametrize(("name", "rate"), [("opus", 44_100), ("mp3", 96_000), ("aac", 12_345)])
def test_an_unsupported_rate_is_one_line(name: str, rate: int) -> None:
    with pytest.raises(AudioError) as caught:
        open_encoder(ALL[name], rate, streamed=True)
    assert_one_line(caught.value, f"{name} cannot have {rate} Hz", "24000")


@pytest.mark.parametrize("name", ALL)
def test_an_encoder_closes_before_its_end(name: str) -> None:
    encoder = open_encoder(ALL[name], RATE, streamed=True)
    encoder.add(sound())
    encoder.close()
    encoder.close()


def test_numbers_are_those_of_libsndfile() -> None:
    rng = np.random.default_rng(0)
    samples = np.concatenate(
        [rng.standard_normal(9_999) * 0.5, rng.standard_normal(99) * 1e-9, [0, 1, -1, 2, -2]]
    ).astype(np.float32)
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="RAW", subtype="PCM_16", endian="LITTLE")
    assert pcm_bytes(samples) == file.getvalue()


def test_a_buffer_drops_what_is_written_over_earlier_bytes() -> None:
    buffer = AppendOnlyBuffer()
    buffer.write(b"head")
    assert buffer.take() == b"head"
    buffer.write(b"body")
    assert buffer.seek(0) == 0
    assert buffer.write(b"HEAD") == 4
    assert buffer.tell() == 4
    assert buffer.seek(0, io.SEEK_END) == 8
    assert buffer.seek(-1, io.SEEK_CUR) == 7
    buffer.write(b"!")
    assert buffer.tell() == 8
    buffer.write(b"tail")
    assert buffer.take() == b"bodytail"
