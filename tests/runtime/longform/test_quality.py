"""Faults of a take are found, clean takes stay as they are, and cleaning does what it says."""

import numpy as np
import pytest

from bark_onnx.runtime import GenerationOptions, OptionsError, Speech
from bark_onnx.runtime.longform.quality import (
    Cleaning,
    clean,
    find_faults,
    limit_babble,
    longest_seconds,
    trim_silence,
)
from bark_onnx.runtime.text.segments import Segment
from tests.support.messages import assert_one_line

RATE = 24_000
PIECE = Segment("Hello there, my dear.", 6)


def tone(seconds: float, level: float = 0.5) -> np.ndarray:
    return (level * np.sin(2 * np.pi * 220 * np.arange(round(seconds * RATE)) / RATE)).astype(
        np.float32
    )


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.float32)


def speech(samples: np.ndarray) -> Speech:
    tokens = np.zeros((8, 8), np.int64)
    return Speech(samples, RATE, tokens[0], tokens[:2], tokens, PIECE.text, "", 0)


@pytest.mark.parametrize(
    ("samples", "faults"),
    [
        (tone(2), []),
        (tone(2, 0.02), []),
        (np.append(tone(2), np.ones(40, np.float32)), []),  # at full scale, but seldom
        (silence(0), ["silent"]),
        (silence(2), ["silent"]),
        (tone(2, 0.005), ["silent"]),
        (tone(2, 3).clip(-1, 1), ["clipped"]),
        (tone(12), ["too long for its text"]),
        (silence(12), ["silent", "too long for its text"]),
        (tone(12, 3).clip(-1, 1), ["clipped", "too long for its text"]),
    ],
)
def test_faults_are_found_and_nothing_else_is(samples: np.ndarray, faults: list[str]) -> None:
    assert find_faults(speech(samples), PIECE) == faults


def test_how_long_is_too_long_grows_with_the_text() -> None:
    short, long = Segment("Hi.", 2), Segment("Hello " * 40, 40)
    assert longest_seconds(short) == pytest.approx(3 + 2 * 2 / 3.6)
    assert find_faults(speech(tone(6)), short) == ["too long for its text"]
    assert find_faults(speech(tone(6)), long) == []


def test_silence_is_trimmed_but_for_a_margin() -> None:
    voiced = tone(1)
    quiet = np.full(round(0.5 * RATE), 0.001, np.float32)
    trimmed = trim_silence(np.concatenate([silence(1), quiet, voiced, quiet]), RATE)
    margin = round(0.05 * RATE)
    assert len(trimmed) == pytest.approx(len(voiced) + 2 * margin, abs=20)
    assert trimmed[margin - 20 : margin + 20].any()
    np.testing.assert_array_equal(trim_silence(voiced, RATE), voiced)


def test_a_pause_inside_stays() -> None:
    spoken = np.concatenate([tone(1), silence(2), tone(1)])
    assert len(trim_silence(spoken, RATE)) == len(spoken)


@pytest.mark.parametrize("samples", [silence(0), silence(1)])
def test_what_is_silent_throughout_stays(samples: np.ndarray) -> None:
    cleaned = clean(speech(samples), Cleaning(trim=True, peak=0.9))
    np.testing.assert_array_equal(cleaned.samples, samples)


@pytest.mark.parametrize("peak", [0.1, 0.95, 1])
def test_the_loudest_sample_is_the_peak(peak: float) -> None:
    original = speech(tone(1, 0.3))
    cleaned = clean(original, Cleaning(peak=peak))
    assert np.abs(cleaned.samples).max() == pytest.approx(peak, rel=1e-5)
    assert cleaned.samples.dtype == np.float32
    np.testing.assert_allclose(cleaned.samples * 0.3 / peak, original.samples, atol=1e-4)
    assert cleaned.fine_tokens is original.fine_tokens


def test_nothing_changes_unless_it_is_asked_for() -> None:
    original = speech(np.concatenate([silence(1), tone(1), silence(1)]))
    assert clean(original, Cleaning()) is original


def test_babble_is_limited_by_the_text_and_by_what_was_asked() -> None:
    asked = GenerationOptions(semantic_max_new_tokens=768)
    limited = limit_babble(asked, PIECE, 50.0)
    # 3 s and twice 6 / 3.6 s are 6.33 s.
    assert limited == asked.replace(semantic_max_new_tokens=317, min_eos_p=0.2)
    strict = GenerationOptions(semantic_max_new_tokens=40, min_eos_p=0.05)
    assert limit_babble(strict, PIECE, 50.0) == strict
    assert limit_babble(asked, Segment("x", 46), 50.0).semantic_max_new_tokens == 768
    assert limit_babble(GenerationOptions(), PIECE, 50.0).semantic_max_new_tokens == 317


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("takes", 0, "integer from 1"),
        ("takes", True, "integer from 1"),
        ("takes", 1.5, "integer from 1"),
        ("peak", 0, "more than 0"),
        ("peak", 1.5, "at most 1"),
        ("peak", "1", "at most 1"),
        ("peak", float("nan"), "at most 1"),
    ],
)
def test_a_value_out_of_range_is_refused(setting: str, value: object, expected: str) -> None:
    with pytest.raises(OptionsError) as caught:
        Cleaning(**{setting: value})
    assert_one_line(caught.value, f"{setting} is {value!r}", expected)
