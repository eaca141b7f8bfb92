"""Samples as plain numbers, with or without the header of a wav file. Needs no library."""

import struct
from typing import Protocol

import numpy as np

from bark_onnx.runtime.audio.resampling import Samples

_UNKNOWN_SIZE = 0xFFFFFFFF  # what players take for "until the stream ends"
_FULL_SCALE = 2**31


class Encoder(Protocol):
    """Takes samples, gives bytes."""

    def add(self, samples: Samples) -> bytes:
        """Bytes that are ready after these samples, float32 (n,) with full scale at 1."""

    def finish(self) -> bytes:
        """The bytes that are left when no more samples come."""

    def close(self) -> None:
        """Free what it holds; needed where `finish` was not called."""


class PcmEncoder:
    """Signed 16-bit little-endian samples, for wav behind a header.

    Args:
        rate_hz: of the samples.
        has_header: whether it is wav.
        streams: give bytes as soon as they are known. Otherwise all come from `finish`, and the
            header states the right length.
    """

    def __init__(self, rate_hz: int, *, has_header: bool, streams: bool) -> None:
        self._rate_hz = rate_hz
        self._has_header = has_header
        self._streams = streams
        self._held: list[bytes] = []
        if streams and has_header:
            self._held.append(_wav_header(_UNKNOWN_SIZE, rate_hz))

    def add(self, samples: Samples) -> bytes:
        """Bytes that are ready after these samples."""
        self._held.append(pcm_bytes(samples))
        return self._take() if self._streams else b""

    def finish(self) -> bytes:
        """The bytes that are left."""
        if self._has_header and not self._streams:
            self._held.insert(0, _wav_header(sum(map(len, self._held)), self._rate_hz))
        return self._take()

    def close(self) -> None:
        """Free what it holds."""
        self._held.clear()

    def _take(self) -> bytes:
        taken = b"".join(self._held)
        self._held.clear()
        return taken


def pcm_bytes(samples: Samples) -> bytes:
    """Samples as libsndfile puts them into a file: 32 bits, of which the upper 16 are kept."""
    wide = np.rint(samples.astype(np.float64) * _FULL_SCALE).clip(-_FULL_SCALE, _FULL_SCALE - 1)
    return (wide.astype(np.int64) >> 16).astype("<i2").tobytes()


def _wav_header(data_bytes: int, rate_hz: int) -> bytes:
    """Header of mono 16-bit samples; an unknown size is 0xFFFFFFFF in both places."""
    riff_bytes = min(data_bytes + 36, _UNKNOWN_SIZE)
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", riff_bytes, b"WAVE", b"fmt ", 16, 1, 1, rate_hz, 2 * rate_hz, 2, 16),
        *(b"data", data_bytes),
    )
