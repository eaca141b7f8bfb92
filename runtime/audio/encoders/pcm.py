"""Samples as 16-bit integers, with or without the header of a wav file. Needs no library."""

import struct

import numpy as np

from bark_onnx.runtime.audio.resampling import Samples

_UNKNOWN_SIZE = 0xFFFFFFFF  # players read until the stream ends
_FULL_SCALE = 2**31


class PcmEncoder:
    """An encoder of signed 16-bit little-endian samples; see `Encoder`.

    Args:
        rate_hz: Sample rate.
        has_header: Whether a wav header comes first.
        streamed: Whether bytes are returned at once, and the header leaves the length open.
    """

    def __init__(self, rate_hz: int, *, has_header: bool, streamed: bool) -> None:
        self._rate_hz = rate_hz
        self._has_header = has_header
        self._streamed = streamed
        self._held: list[bytes] = []
        if streamed and has_header:
            self._held.append(_wav_header(_UNKNOWN_SIZE, rate_hz))

    def add(self, samples: Samples) -> bytes:
        """Encode samples; returns the bytes that are ready."""
        self._held.append(pcm_bytes(samples))
        return self._take() if self._streamed else b""

    def finish(self) -> bytes:
        """End the sound; returns the remaining bytes."""
        if self._has_header and not self._streamed:
            self._held.insert(0, _wav_header(sum(map(len, self._held)), self._rate_hz))
        return self._take()

    def close(self) -> None:
        """Release the bytes held."""
        self._held.clear()

    def _take(self) -> bytes:
        taken = b"".join(self._held)
        self._held.clear()
        return taken


def pcm_bytes(samples: Samples) -> bytes:
    """Samples as libsndfile writes them: 32-bit integers, of which the upper 16 bits are kept."""
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
