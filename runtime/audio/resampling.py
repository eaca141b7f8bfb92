"""Conversion between sample rates, by libsoxr in its highest quality.

The result does not depend on how the samples are divided among calls. Nothing is shifted, and n
samples become n * to / from, rounded.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.runtime.audio.files.formats import check_rate

Samples = NDArray[np.float32]
_QUALITY = "VHQ"


class Resampler:
    """Converts a stream of samples.

    Args:
        from_hz: Sample rate of the input.
        to_hz: Sample rate of the output; the same rate changes nothing.

    Raises:
        AudioError: A rate is out of range.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        check_rate(from_hz)
        check_rate(to_hz)
        self._stream: Any = None
        if from_hz != to_hz:
            import soxr

            self._stream = soxr.ResampleStream(from_hz, to_hz, 1, "float32", _QUALITY)

    def add(self, samples: Samples) -> Samples:
        """Convert samples, float32 (n,); the last few come with the next call."""
        return self._convert(samples, is_last=False)

    def finish(self) -> Samples:
        """End the stream; returns the remaining samples."""
        return self._convert(np.zeros(0, np.float32), is_last=True)

    def _convert(self, samples: Samples, *, is_last: bool) -> Samples:
        if self._stream is None:
            return samples
        converted: Samples = self._stream.resample_chunk(samples, last=is_last)
        return converted


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """Samples at another rate, float32 (n,).

    Raises:
        AudioError: A rate is out of range.
    """
    resampler = Resampler(from_hz, to_hz)
    return np.concatenate([resampler.add(samples), resampler.finish()])
