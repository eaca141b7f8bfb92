"""Other sample rates: the same sound, with the right length, without seams."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from bark_onnx.runtime import AudioError, Speech, SpeechWriter
from bark_onnx.runtime.audio.resampling import Resampler, resample
from tests.support.messages import assert_one_line

RATE = 24_000
RATES = [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000]


def sine(hz: float, rate: int, count: int) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(count) / rate)).astype(np.float32)


def speech(samples: np.ndarray, start_seconds: float = 0.0, rate: int = RATE) -> Speech:
    tokens = np.zeros((8, 8), np.int64)
    return Speech(samples, rate, tokens[0], tokens[:2], tokens, "Hi", "", 0, start_seconds)


def write(path: Path, rate: int, *items: Speech | BaseException) -> None:
    """Write speeches to a file; an exception among them is raised in its place."""
    with SpeechWriter(path, rate) as file:
        for each in items:
            if isinstance(each, BaseException):
                raise each
            file.write(each)


@pytest.mark.parametrize("rate", RATES)
def test_a_resampled_sine_is_the_same_sine_in_place(rate: int) -> None:
    found = resample(sine(1000, RATE, 2 * RATE), RATE, rate)
    assert found.dtype == np.float32
    assert len(found) == 2 * rate
    middle = slice(rate // 10, -rate // 10)
    np.testing.assert_allclose(found[middle], sine(1000, rate, 2 * rate)[middle], atol=1e-5)


def test_frequencies_above_a_lower_rate_are_removed() -> None:
    found = resample(sine(7000, RATE, RATE), RATE, 8_000)
    assert np.abs(found[800:-800]).max() < 1e-4


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(RATES),
    st.lists(st.integers(0, 9_000), max_size=8),
)
def test_chunks_are_converted_like_the_whole(rate: int, lengths: list[int]) -> None:
    whole = np.random.default_rng(0).standard_normal(sum(lengths)).astype(np.float32)
    resampler = Resampler(RATE, rate)
    chunks = np.split(whole, np.cumsum(lengths))[: len(lengths)]
    found = [resampler.add(chunk) for chunk in chunks]
    joined = np.concatenate([*found, resampler.finish()])
    np.testing.assert_array_equal(joined, resample(whole, RATE, rate))
    assert abs(len(joined) - len(whole) * rate / RATE) <= 0.5


def test_the_same_rate_changes_nothing() -> None:
    samples = sine(440, RATE, 1000)
    np.testing.assert_array_equal(resample(samples, RATE, RATE), samples)


@pytest.mark.parametrize("rate", [0, -1, 7_999, 192_001, 24_000.0, True, "24000"])
def test_a_rate_out_of_range_is_refused(rate: object) -> None:
    with pytest.raises(AudioError) as caught:
        resample(np.zeros(8, np.float32), RATE, rate)  # type: ignore[arg-type]
    assert_one_line(caught.value, f"sample_rate_hz is {rate!r}", "8000", "192000")


def test_resampled_speech_keeps_its_text_seed_and_tokens() -> None:
    original = speech(sine(440, RATE, RATE), 1.5)
    found = original.resample(48_000)
    assert (found.sample_rate_hz, found.seconds, found.start_seconds) == (48_000, 1.0, 1.5)
    assert (found.text, found.seed) == (original.text, original.seed)
    assert found.fine_tokens is original.fine_tokens


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_file_of_segments_has_no_seams(tmp_path: Path, suffix: str) -> None:
    whole = sine(1000, RATE, 3 * RATE)
    path = tmp_path / f"a.{suffix}"
    with SpeechWriter(path, 44_100) as file:
        for number, part in enumerate(np.split(whole, 3)):
            file.write(speech(part, number))
        assert file.seconds == 3
    samples, rate = soundfile.read(path)
    assert (rate, len(samples)) == (44_100, 3 * 44_100)
    middle = slice(4_000, -4_000)
    np.testing.assert_allclose(samples[middle], sine(1000, 44_100, 3 * 44_100)[middle], atol=1e-4)


def test_an_interrupt_keeps_the_converted_sound_to_its_last_sample(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.wav", 48_000, speech(sine(440, RATE, RATE)), KeyboardInterrupt())
    assert soundfile.info(tmp_path / "a.wav").frames == 48_000


def test_speeches_of_different_rates_are_refused(tmp_path: Path) -> None:
    original = speech(sine(440, RATE, RATE))
    with pytest.raises(AudioError) as caught:
        write(tmp_path / "a.wav", RATE, original, original.resample(48_000))
    assert_one_line(caught.value, "48000 Hz", "24000 Hz", "Speech.resample")


@pytest.mark.parametrize(("suffix", "rate"), [("opus", 44_100), ("mp3", 96_000)])
def test_a_rate_that_the_format_does_not_support_is_refused(
    tmp_path: Path, suffix: str, rate: int
) -> None:
    for refused in (
        lambda path: SpeechWriter(path, rate),
        lambda path: speech(sine(440, rate, rate), rate=rate).save(path),
    ):
        with pytest.raises(AudioError) as caught:
            refused(tmp_path / f"a.{suffix}")
        assert_one_line(caught.value, f"{suffix} cannot have {rate} Hz", "16000", "48000")
    assert list(tmp_path.iterdir()) == []


def test_a_format_that_libsndfile_lacks_is_refused_before_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soundfile, "check_format", lambda container, encoding: encoding != "OPUS")
    with pytest.raises(AudioError) as caught:
        SpeechWriter(tmp_path / "a.opus", RATE)
    assert_one_line(caught.value, "opus", "libsndfile", "cannot write it", "newer soundfile")
    SpeechWriter(tmp_path / "a.ogg", RATE)
