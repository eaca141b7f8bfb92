"""Places segments one after the other: silence between two of them, or a cross-fade."""

import dataclasses

import numpy as np

from bark_onnx.runtime.audio.resampling import Samples
from bark_onnx.runtime.audio.speech import Speech


class Crossfader:
    """Joins speeches in order, which overlap by at most half of either."""

    def __init__(self, gap_seconds: float, crossfade_seconds: float) -> None:
        self._gap_seconds = gap_seconds
        self._crossfade_seconds = crossfade_seconds
        self._position = 0  # samples returned so far, silence included
        self._tail = np.zeros(0, np.float32)  # end of the last speech, not returned yet

    def append(self, speech: Speech, speaker: str, *, is_last: bool) -> Speech:
        """The speech with its place in the whole, blended with the tail of the last one."""
        rate = speech.sample_rate_hz
        samples = speech.samples
        overlap_samples = min(round(self._crossfade_seconds * rate), len(samples) // 2)
        samples = _crossfade(self._tail, samples)
        if is_last or not overlap_samples:
            self._tail = samples[:0]
        else:
            samples, self._tail = samples[:-overlap_samples], samples[-overlap_samples:]
        start = self._position
        self._position += len(samples) + round(self._gap_seconds * rate)
        return dataclasses.replace(
            speech, samples=samples, start_seconds=start / rate, speaker=speaker
        )


def _crossfade(ending: Samples, beginning: Samples) -> Samples:
    """Both parts, overlapping by the length of the shorter one with linear gains."""
    count = min(len(ending), len(beginning))
    if not count:
        return beginning if not len(ending) else ending
    gain = (np.arange(count, dtype=np.float32) + np.float32(0.5)) / np.float32(count)
    split = len(ending) - count
    middle = ending[split:] * (1 - gain) + beginning[:count] * gain
    return np.concatenate([ending[:split], middle, beginning[count:]])
