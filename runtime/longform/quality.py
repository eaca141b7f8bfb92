"""What is wrong with a take, and how to clean a good one. Off unless asked for.

Bark now and then says nothing, roars, or goes on babbling after a short text. The checks find the
gross cases and nothing else: they cannot hear whether the words are right.
"""

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.errors import OptionsError
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.options.generation import GenerationOptions, is_positive_int
from bark_onnx.runtime.text.segments import Segment

_BABBLE_EOS_P = 0.2  # Suno's own min_eos_p

_SILENT_PEAK = 0.01  # 40 dB below full scale
_CLIPPED_SHARE = 0.001  # of the samples
_FULL_SCALE = 0.999
_QUIET = 0.01  # of the peak: where a speech begins and ends for `trim`
_MARGIN_SECONDS = 0.05  # left around it, so that soft consonants stay


@dataclasses.dataclass(frozen=True)
class Cleaning:
    """What to do for a clean take.

    Raises:
        OptionsError: a value is out of range.
    """

    takes: int = 1  # how often to try at most, until a take passes the checks
    trim: bool = False  # cut silence off both ends
    stop_babble: bool = False  # end when the end is likely, and no later than the text can explain
    peak: float | None = None  # scale the loudest sample to this; None leaves the level

    def __post_init__(self) -> None:
        if not is_positive_int(self.takes):
            raise OptionsError(f"takes is {self.takes!r}, expected an integer from 1")
        if self.peak is not None and not (
            isinstance(self.peak, int | float)
            and not isinstance(self.peak, bool)
            and 0 < self.peak <= 1
        ):
            raise OptionsError(f"peak is {self.peak!r}, expected more than 0 and at most 1")


def longest_seconds(piece: Segment) -> float:
    """How long a piece may take to say: three seconds and twice what is estimated."""
    return 3.0 + 2.0 * piece.seconds


def limit_babble(
    options: GenerationOptions, piece: Segment, semantic_rate_hz: float
) -> GenerationOptions:
    """Settings that end a piece when its end is likely, and no later than `longest_seconds`.

    Args:
        options: their `min_eos_p` wins, and their `semantic_max_new_tokens` where it is less.
        piece: what is said.
        semantic_rate_hz: semantic tokens per second of audio.
    """
    cap = math.ceil(longest_seconds(piece) * semantic_rate_hz)
    return options.replace(
        semantic_max_new_tokens=min(cap, options.semantic_max_new_tokens or cap),
        min_eos_p=_BABBLE_EOS_P if options.min_eos_p is None else options.min_eos_p,
    )


def find_faults(speech: Speech, piece: Segment) -> list[str]:
    """What is wrong with a take: it is silent, clipped, or too long for its text.

    Silent: no sample above 0.01. Clipped: more than one sample in a thousand at full scale. Too
    long: longer than `longest_seconds`.
    """
    levels = np.abs(speech.samples)
    faults = []
    if not levels.size or levels.max() < _SILENT_PEAK:
        faults.append("silent")
    elif np.mean(levels >= _FULL_SCALE) > _CLIPPED_SHARE:
        faults.append("clipped")
    if speech.seconds > longest_seconds(piece):
        faults.append("too long for its text")
    return faults


def clean(speech: Speech, cleaning: Cleaning) -> Speech:
    """Trim and scale the samples, as far as asked; the tokens stay."""
    samples = speech.samples
    if cleaning.trim:
        samples = trim_silence(samples, speech.sample_rate_hz)
    loudest = np.abs(samples).max(initial=0.0)
    if cleaning.peak is not None and loudest > 0:
        samples = samples * np.float32(cleaning.peak / loudest)
    if samples is speech.samples:
        return speech
    return dataclasses.replace(speech, samples=samples)


def trim_silence(samples: NDArray[np.float32], sample_rate_hz: int) -> NDArray[np.float32]:
    """Samples without the silence at both ends, 40 dB below their peak, but for 50 ms of it.

    What is silent throughout stays as it is.
    """
    levels = np.abs(samples)
    loud = np.flatnonzero(levels > _QUIET * levels.max(initial=0.0))
    if not loud.size:
        return samples
    margin = round(_MARGIN_SECONDS * sample_rate_hz)
    return samples[max(0, loud[0] - margin) : loud[-1] + 1 + margin]
