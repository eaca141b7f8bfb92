"""Pitch, its distance from a reference, and hum at the frame rate."""

import numpy as np
import pytest
import soxr

RATE = 24_000
TEXT = "The train to London leaves at ten."


@pytest.fixture(scope="module")
def pitch(recognition):
    return recognition("pitch")


def tone(frequency: float, seconds: float = 1.0) -> np.ndarray:
    """Harmonics that rise by two semitones and pass through five vowels, between two pauses."""
    count = round(seconds * RATE)
    place = np.arange(count) / count
    pitch = frequency * 2 ** (place / 6)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    formants = np.array([(300, 2300), (500, 1800), (750, 1200), (500, 900), (320, 700)])
    first, second = formants[np.minimum(5 * place, 4).astype(int)].T
    sound = np.zeros(count)
    for harmonic in range(1, 60):
        hertz = harmonic * pitch
        level = np.exp(-(((hertz - first) / 150) ** 2)) + np.exp(-(((hertz - second) / 200) ** 2))
        sound += (level + 0.02) * np.sin(harmonic * phase) * (hertz < 4000)
    return np.pad(0.05 * sound, RATE // 5).astype(np.float32)


@pytest.mark.parametrize(
    ("frequency", "cents"),
    [(75.0, 0), (75.0, 30), (110.0, 100), (170.0, 30), (170.0, -1200), (300.0, -1200)],
)
def test_distance_of_tones_is_their_interval(pitch, frequency, cents):
    reference = pitch.contour(tone(frequency), RATE)
    shifted = pitch.contour(tone(frequency * 2 ** (cents / 1200)), RATE)
    distances = pitch.pitch_distances(shifted, reference)
    assert len(distances) > 60
    assert np.median(distances) == pytest.approx(abs(cents), abs=4)


def test_distance_does_not_depend_on_length(pitch):
    slow = pitch.contour(tone(120, 1.4), RATE)
    distances = pitch.pitch_distances(slow, pitch.contour(tone(120, 1.0), RATE))
    assert np.median(distances) < 15  # of 200 that it rises


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(100), np.zeros(RATE)])
def test_silence_has_neither_pitch_nor_hum(pitch, samples):
    silence = pitch.contour(samples.astype(np.float32), RATE)
    assert not silence.voiced.any()
    assert np.isnan(pitch.hum(silence))
    assert pitch.pitch_distances(silence, pitch.contour(tone(120), RATE)).size == 0


def test_hum_is_high_if_every_frame_repeats_the_one_before(pitch):
    frame = np.random.default_rng(0).normal(size=320)
    sound = tone(110)
    noise = np.random.default_rng(1).normal(size=len(sound))
    plain = pitch.hum(pitch.contour(sound, RATE))
    hissing = pitch.hum(pitch.contour((sound + 0.05 * noise).astype(np.float32), RATE))
    humming = (sound + 0.05 * np.resize(frame, len(sound))).astype(np.float32)
    assert pitch.hum(pitch.contour(humming, RATE)) > max(plain, hissing) + 0.1


def test_pitch_of_recordings_follows_speed_and_not_the_speaker(pitch, record):
    samples, rate = record("slt", TEXT)
    reference = pitch.contour(samples, rate)
    assert np.median(reference.pitch_hz[reference.voiced]) == pytest.approx(170, abs=20)
    higher = soxr.resample(samples, rate * 2 ** (200 / 1200), rate)
    distances = pitch.pitch_distances(pitch.contour(higher, rate), reference)
    assert np.median(distances) == pytest.approx(200, abs=15)
    other = pitch.contour(*record("rms", TEXT))
    assert np.median(pitch.pitch_distances(other, reference)) > 500
