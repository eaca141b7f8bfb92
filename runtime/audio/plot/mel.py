"""Mel spectrogram: loudness of each pitch over time, on the mel scale.

The filters are Slaney's, as in librosa by default: linear below 1 kHz, logarithmic above, all with
the same area. Tests compare with transformers' `audio_utils`.
"""

import numpy as np
from numpy.typing import NDArray

FFT_SAMPLES = 1024
HOP_SAMPLES = 256
BANDS = 80
_FLOOR_DB = 80.0  # below the loudest

_LINEAR_HZ = 200 / 3  # per mel, below the break
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _LINEAR_HZ
_LOG_STEP = np.log(6.4) / 27  # per mel, above the break
_CHUNK_FRAMES = 4096


def mel_spectrogram(
    samples: NDArray[np.float32], sample_rate_hz: int, *, hop_samples: int = HOP_SAMPLES
) -> NDArray[np.float32]:
    """Decibels below the loudest band, from -80 to 0, float32 (bands, frames).

    Frame i is centered on sample i * hop_samples, with silence before and after the sound.
    """
    padded = np.pad(samples, FFT_SAMPLES // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT_SAMPLES)[::hop_samples]
    window = np.hanning(FFT_SAMPLES + 1)[:-1]  # periodic
    filters = mel_filters(sample_rate_hz)
    parts = []
    for start in range(0, len(frames), _CHUNK_FRAMES):
        spectrum = np.fft.rfft(frames[start : start + _CHUNK_FRAMES] * window)
        parts.append(filters @ (np.abs(spectrum) ** 2).T)
    power = np.concatenate(parts, axis=1)
    loudest = max(float(power.max(initial=0.0)), 1e-10)
    decibels = 10 * np.log10(np.maximum(power / loudest, 10 ** (-_FLOOR_DB / 10)))
    return decibels.astype(np.float32)


def mel_filters(sample_rate_hz: int) -> NDArray[np.float64]:
    """Triangles over the frequencies of a Fourier transform, (bands, FFT_SAMPLES // 2 + 1)."""
    frequencies = np.linspace(0, sample_rate_hz / 2, FFT_SAMPLES // 2 + 1)
    corners = mel_edges_hz(sample_rate_hz)
    rising = (frequencies - corners[:-2, None]) / np.diff(corners)[:-1, None]
    falling = (corners[2:, None] - frequencies) / np.diff(corners)[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    area = 2 / (corners[2:] - corners[:-2])
    scaled: NDArray[np.float64] = triangles * area[:, None]
    return scaled


def mel_edges_hz(sample_rate_hz: int) -> NDArray[np.float64]:
    """Starts, peaks and ends of the bands in equal steps of mel, (bands + 2,)."""
    highest = _to_mel(sample_rate_hz / 2)
    return _to_hz(np.linspace(0, highest, BANDS + 2))


def _to_mel(frequency_hz: float) -> float:
    if frequency_hz < _BREAK_HZ:
        return frequency_hz / _LINEAR_HZ
    return float(_BREAK_MEL + np.log(frequency_hz / _BREAK_HZ) / _LOG_STEP)


def _to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    above = _BREAK_HZ * np.exp(_LOG_STEP * (np.maximum(mel, _BREAK_MEL) - _BREAK_MEL))
    hz: NDArray[np.float64] = np.where(mel < _BREAK_MEL, mel * _LINEAR_HZ, above)
    return hz
