"""Quality of a segment: checks that decide about another attempt, limits, and postprocessing.

Bark now and then generates silence, noise at full scale, or goes on after a short text. The checks
find these gross cases and nothing else: whether the words are right, they cannot decide.
"""

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.options.generation import GenerationOptions
from bark_onnx.runtime.options.stream import StreamOptions
from bark_onnx.runtime.text.segments import Segment

_LIKELY_EOS_P = 0.2  # Suno's own min_eos_p

_SILENT_PEAK = 0.01  # 40 dB below full scale
_CLIPPED_SHARE = 0.001  # of the samples
_FULL_SCALE = 0.999
_QUIET_SHARE = 0.01  # of the peak: where speech begins and ends for `trim_silence`
_MARGIN_SECONDS = 0.05  # kept around the speech, so that soft consonants stay


def max_plausible_seconds(segment: Segment) -> float:
    """Longest plausible duration of a segment: 3 seconds and twice the estimate."""
    return 3.0 + 2.0 * segment.seconds


def limit_duration(
    options: GenerationOptions, segment: Segment, semantic_rate_hz: float
) -> GenerationOptions:
    """Options that end a segment when its end is likely, or it exceeds `max_plausible_seconds`.

    `min_eos_p` and a lower `semantic_max_new_tokens` of the given options take precedence.
    """
    cap = math.ceil(max_plausible_seconds(segment) * semantic_rate_hz)
    return options.replace(
        semantic_max_new_tokens=min(cap, options.semantic_max_new_tokens or cap),
        min_eos_p=_LIKELY_EOS_P if options.min_eos_p is None else options.min_eos_p,
    )


def quality_issues(speech: Speech, segment: Segment) -> list[str]:
    """Issues of an attempt.

    Silent: no sample above 0.01. Clipped: more than one sample in a thousand at full scale. Too
    long: longer than `max_plausible_seconds`.
    """
    levels = np.abs(speech.samples)
    issues = []
    if not levels.size or levels.max() < _SILENT_PEAK:
        issues.append("silent")
    elif np.mean(levels >= _FULL_SCALE) > _CLIPPED_SHARE:
        issues.append("clipped")
    if speech.seconds > max_plausible_seconds(segment):
        issues.append("too long for its text")
    return issues


def postprocess(speech: Speech, options: StreamOptions) -> Speech:
    """Trim and scale the samples as the options ask; the tokens are unchanged."""
    samples = speech.samples
    if options.trim:
        samples = trim_silence(samples, speech.sample_rate_hz)
    peak = np.abs(samples).max(initial=0.0)
    if options.normalize_peak is not None and peak > 0:
        samples = samples * np.float32(options.normalize_peak / peak)
    if samples is speech.samples:
        return speech
    return dataclasses.replace(speech, samples=samples)


def trim_silence(samples: NDArray[np.float32], sample_rate_hz: int) -> NDArray[np.float32]:
    """Samples without the silence at both ends, except for 50 ms of it.

    Silence is 40 dB below the peak. Samples that are silent throughout are unchanged.
    """
    levels = np.abs(samples)
    loud = np.flatnonzero(levels > _QUIET_SHARE * levels.max(initial=0.0))
    if not loud.size:
        return samples
    margin = round(_MARGIN_SECONDS * sample_rate_hz)
    return samples[max(0, loud[0] - margin) : loud[-1] + 1 + margin]
