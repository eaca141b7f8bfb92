"""Where one speech ends and the next begins: silence between them, or a cross-fade."""

import dataclasses

import numpy as np

from bark_onnx.runtime.audio.resampling import Samples
from bark_onnx.runtime.audio.speech import Speech


class Crossfader:
    """Places speeches one after the other.

    Args:
        gap_seconds: silence between two.
        crossfade_seconds: how long two overlap; at most half of either.
    """

    def __init__(self, gap_seconds: float, crossfade_seconds: float) -> None:
        self._gap_seconds = gap_seconds
        self._crossfade_seconds = crossfade_seconds
        self._position = 0  # samples handed out, silence included
        self._tail = np.zeros(0, np.float32)  # of the last speech, not handed out yet

    def join(self, speech: Speech, speaker: str, *, is_last: bool) -> Speech:
        """The speech with its place in the whole, blended into what is left of the last one."""
        rate = speech.sample_rate_hz
        samples = speech.samples
        held = min(round(self._crossfade_seconds * rate), len(samples) // 2)
        samples = _blend(self._tail, samples)
        if is_last or not held:
            self._tail = samples[:0]
        else:
            samples, self._tail = samples[:-held], samples[-held:]
        start = self._position
        self._position += len(samples) + round(self._gap_seconds * rate)
        return dataclasses.replace(
            speech, samples=samples, start_seconds=start / rate, speaker=speaker
        )


def _blend(ending: Samples, beginning: Samples) -> Samples:
    """One after the other, overlapping as far as the shorter one goes: as one fades, one grows."""
    count = min(len(ending), len(beginning))
    if not count:
        return beginning if not len(ending) else ending
    growing = (np.arange(count, dtype=np.float32) + np.float32(0.5)) / np.float32(count)
    split = len(ending) - count
    middle = ending[split:] * (1 - growing) + beginning[:count] * growing
    return np.concatenate([ending[:split], middle, beginning[count:]])
