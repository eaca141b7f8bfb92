"""Conversion between sample rates, by libsoxr in its highest quality.

Samples that are converted piece by piece come out as those converted in one go, bit for bit. They
stay in place: nothing is shifted, and n samples become n * to / from, rounded.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.runtime.audio.files.formats import check_rate

Samples = NDArray[np.float32]
_QUALITY = "VHQ"


class Resampler:
    """Converts samples as they come.

    Args:
        from_hz: rate of the samples that come.
        to_hz: rate of those that are given back; the same rate changes nothing.

    Raises:
        AudioError: a rate is out of range.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        check_rate(from_hz)
        check_rate(to_hz)
        self._stream: Any = None
        if from_hz != to_hz:
            import soxr

            self._stream = soxr.ResampleStream(from_hz, to_hz, 1, "float32", _QUALITY)

    def add(self, samples: Samples) -> Samples:
        """The samples that are certain after these, float32 (n,); the last few are held back."""
        return self._convert(samples, is_last=False)

    def finish(self) -> Samples:
        """The samples that are left when no more come."""
        return self._convert(np.zeros(0, np.float32), is_last=True)

    def _convert(self, samples: Samples, *, is_last: bool) -> Samples:
        if self._stream is None:
            return samples
        converted: Samples = self._stream.resample_chunk(samples, last=is_last)
        return converted


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """Samples at another rate, float32 (n,).

    Raises:
        AudioError: a rate is out of range.
    """
    resampler = Resampler(from_hz, to_hz)
    return np.concatenate([resampler.add(samples), resampler.finish()])
