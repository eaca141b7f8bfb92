"""Quality: issues of an attempt, limits of duration, trimming and normalization."""

import numpy as np
import pytest

from bark_onnx.runtime import GenerationOptions, OptionsError, Segment, Speech, StreamOptions
from bark_onnx.runtime.longform.quality import (
    limit_duration,
    max_plausible_seconds,
    postprocess,
    quality_issues,
    trim_silence,
)
from tests.support.messages import assert_one_line

RATE = 24_000
SEGMENT = Segment("Hello there, my dear.", 6, 3.6)


def tone(seconds: float, level: float = 0.5) -> np.ndarray:
    return (level * np.sin(2 * np.pi * 220 * np.arange(round(seconds * RATE)) / RATE)).astype(
        np.float32
    )


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.float32)


def speech(samples: np.ndarray) -> Speech:
    tokens = np.zeros((8, 8), np.int64)
    return Speech(samples, RATE, tokens[0], tokens[:2], tokens, SEGMENT.text, "", 0)


@pytest.mark.parametrize(
    ("samples", "issues"),
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
def test_issues_are_found_in_faulty_speech_only(samples: np.ndarray, issues: list[str]) -> None:
    assert quality_issues(speech(samples), SEGMENT) == issues


def test_the_plausible_duration_grows_with_the_text() -> None:
    short, long = Segment("Hi.", 2, 3.6), Segment("Hello " * 40, 40, 3.6)
    assert max_plausible_seconds(short) == pytest.approx(3 + 2 * 2 / 3.6)
    assert quality_issues(speech(tone(6)), short) == ["too long for its text"]
    assert quality_issues(speech(tone(6)), long) == []


def test_silence_is_trimmed_except_for_a_margin() -> None:
    voiced = tone(1)
    quiet = np.full(round(0.5 * RATE), 0.001, np.float32)
    trimmed = trim_silence(np.concatenate([silence(1), quiet, voiced, quiet]), RATE)
    margin = round(0.05 * RATE)
    assert len(trimmed) == pytest.approx(len(voiced) + 2 * margin, abs=20)
    assert trimmed[margin - 20 : margin + 20].any()
    np.testing.assert_array_equal(trim_silence(voiced, RATE), voiced)


def test_a_pause_within_speech_is_kept() -> None:
    speech_samples = np.concatenate([tone(1), silence(2), tone(1)])
    assert len(trim_silence(speech_samples, RATE)) == len(speech_samples)


@pytest.mark.parametrize("samples", [silence(0), silence(1)])
def test_silent_samples_are_unchanged(samples: np.ndarray) -> None:
    processed = postprocess(speech(samples), StreamOptions(trim=True, normalize_peak=0.9))
    np.testing.assert_array_equal(processed.samples, samples)


@pytest.mark.parametrize("peak", [0.1, 0.95, 1])
def test_the_peak_is_normalized(peak: float) -> None:
    original = speech(tone(1, 0.3))
    processed = postprocess(original, StreamOptions(normalize_peak=peak))
    assert np.abs(processed.samples).max() == pytest.approx(peak, rel=1e-5)
    assert processed.samples.dtype == np.float32
    np.testing.assert_allclose(processed.samples * 0.3 / peak, original.samples, atol=1e-4)
    assert processed.fine_tokens is original.fine_tokens


def test_speech_is_unchanged_without_options() -> None:
    original = speech(np.concatenate([silence(1), tone(1), silence(1)]))
    assert postprocess(original, StreamOptions()) is original


def test_duration_is_limited_by_the_text_and_the_given_options() -> None:
    asked = GenerationOptions(semantic_max_new_tokens=768)
    limited = limit_duration(asked, SEGMENT, 50.0)
    # 3 s and twice 6 / 3.6 s are 6.33 s.
    assert limited == asked.replace(semantic_max_new_tokens=317, min_eos_p=0.2)
    strict = GenerationOptions(semantic_max_new_tokens=40, min_eos_p=0.05)
    assert limit_duration(strict, SEGMENT, 50.0) == strict
    assert limit_duration(asked, Segment("x", 46, 3.6), 50.0).semantic_max_new_tokens == 768
    assert limit_duration(GenerationOptions(), SEGMENT, 50.0).semantic_max_new_tokens == 317


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("attempts", 0, "integer from 1"),
        ("attempts", True, "integer from 1"),
        ("attempts", 1.5, "integer from 1"),
        ("normalize_peak", 0, "more than 0"),
        ("normalize_peak", 1.5, "at most 1"),
        ("normalize_peak", "1", "at most 1"),
        ("normalize_peak", float("nan"), "at most 1"),
    ],
)
def test_a_value_out_of_range_is_refused(setting: str, value: object, expected: str) -> None:
    with pytest.raises(OptionsError) as caught:
        StreamOptions(**{setting: value})
    assert_one_line(caught.value, f"{setting} is {value!r}", expected)
