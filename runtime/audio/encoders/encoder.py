"""Encoders: samples to the bytes of a sound file or stream."""

from typing import Protocol

from bark_onnx.runtime.audio.encoders.ffmpeg import FfmpegEncoder
from bark_onnx.runtime.audio.encoders.libsndfile import LibsndfileEncoder
from bark_onnx.runtime.audio.encoders.pcm import PcmEncoder
from bark_onnx.runtime.audio.files.formats import FileFormat, check_format
from bark_onnx.runtime.audio.resampling import Samples


class Encoder(Protocol):
    """Encodes one sound. The bytes do not depend on how the samples are divided among calls."""

    def add(self, samples: Samples) -> bytes:
        """Encode samples, float32 (n,) with full scale at 1; returns the bytes that are ready."""

    def finish(self) -> bytes:
        """End the sound; returns the remaining bytes."""

    def close(self) -> None:
        """Release all resources; required if `finish` is not called."""


def open_encoder(file_format: FileFormat, rate_hz: int, *, streamed: bool) -> Encoder:
    """Open an encoder for one sound.

    Without samples, a format that cannot be empty gets 0.1 s of silence.

    Args:
        file_format: Format of the bytes, from `FORMATS` or `RESPONSE_FORMATS`.
        rate_hz: Sample rate.
        streamed: Whether bytes are returned as soon as they are known, with an open length in the
            header. Otherwise `finish` returns all of them, and the header states the length.

    Raises:
        AudioError: The format does not support the rate, or cannot be written.
    """
    check_format(file_format, rate_hz)
    if file_format.encoder == "pcm":
        return PcmEncoder(rate_hz, has_header=file_format.container == "WAV", streamed=streamed)
    if file_format.encoder == "ffmpeg":
        return FfmpegEncoder(file_format, rate_hz, streamed=streamed)
    return LibsndfileEncoder(file_format, rate_hz, streamed=streamed)
