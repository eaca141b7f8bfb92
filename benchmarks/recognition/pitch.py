"""Pitch of speech, its distance from another recording of the text, and hum at the frame rate.

Praat's autocorrelation finds the pitch, on frames of the codec's rate. Two recordings are aligned
by dynamic time warping of their mel-frequency cepstra.
"""

from dataclasses import dataclass

import librosa
import numpy as np
import parselmouth
import soxr
from numpy.typing import NDArray

Array = NDArray[np.float64]
Samples = NDArray[np.float32]

FRAME_RATE_HZ = 75
_RATE_HZ = 24_000
_FRAME_SAMPLES = _RATE_HZ // FRAME_RATE_HZ
_FLOOR_HZ, _CEILING_HZ = 60.0, 400.0  # of every voice: a narrow range would hide octave errors
_SHORTEST = _RATE_HZ // 10  # samples; Praat needs three periods of the lowest pitch
_COEFFICIENTS = 13


@dataclass(frozen=True)
class Contour:
    """Speech on frames of the codec's rate, with what pitch and hum are measured from."""

    samples: Samples  # at 24 kHz
    pitch_hz: Array  # (frames,); NaN where unvoiced
    cepstrum: Array  # (coefficients, frames)

    @property
    def voiced(self) -> NDArray[np.bool_]:
        """Frames that have a pitch."""
        return np.isfinite(self.pitch_hz)


def contour(samples: Samples, sample_rate_hz: int) -> Contour:
    """Analyze speech, float32 (n,)."""
    audio = np.asarray(samples, np.float32)
    if sample_rate_hz != _RATE_HZ:
        audio = soxr.resample(audio, sample_rate_hz, _RATE_HZ)
    audio = np.pad(audio, (0, max(0, _SHORTEST - len(audio))))
    pitch = parselmouth.Sound(audio.astype(np.float64), _RATE_HZ).to_pitch_ac(
        time_step=1 / FRAME_RATE_HZ, pitch_floor=_FLOOR_HZ, pitch_ceiling=_CEILING_HZ
    )
    cepstrum = librosa.feature.mfcc(
        y=audio, sr=_RATE_HZ, n_mfcc=_COEFFICIENTS, n_fft=1024, hop_length=_FRAME_SAMPLES
    )
    times = np.arange(cepstrum.shape[1]) / FRAME_RATE_HZ
    return Contour(
        samples=audio,
        pitch_hz=np.array([pitch.get_value_at_time(time) for time in times]),
        cepstrum=cepstrum.astype(np.float64),
    )


def pitch_distances(speech: Contour, reference: Contour) -> Array:
    """Distances in cents from a reference recording, (n,), of frames that both voice."""
    _, path = librosa.sequence.dtw(speech.cepstrum, reference.cepstrum)
    found, expected = speech.pitch_hz[path[:, 0]], reference.pitch_hz[path[:, 1]]
    distances = np.abs(1200 * np.log2(found / expected))
    return distances[np.isfinite(distances)]


def hum(speech: Contour) -> float:
    """Mean autocorrelation of voiced frames one codec frame later; NaN without any.

    It is high if every frame repeats something of the one before, whatever the pitch. Speech has a
    level of its own, by the ratio of its pitch and the frame rate: compare with the teacher's.
    """
    lag, span = _FRAME_SAMPLES, 2 * _FRAME_SAMPLES
    starts = np.flatnonzero(speech.voiced) * lag - span
    starts = starts[(starts >= 0) & (starts + span + lag <= len(speech.samples))]
    if not starts.size:
        return float("nan")
    windows = np.lib.stride_tricks.sliding_window_view(speech.samples, span)
    now, later = windows[starts].astype(np.float64), windows[starts + lag].astype(np.float64)
    norms = np.sqrt((now**2).sum(1) * (later**2).sum(1))
    return float(np.mean((now * later).sum(1) / np.maximum(norms, 1e-12)))
