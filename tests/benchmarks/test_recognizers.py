"""Both recognizers, on recordings of Festival Lite."""

import numpy as np
import pytest
import soxr

SENTENCES = (
    "The weather is warm and sunny today.",
    "Please turn on the light in the kitchen.",
    "The train to London leaves at 7:30.",
)
LANGUAGE = (
    "The weather is cold and rainy today.",
    "Please turn off the radio in the kitchen.",
    "The bus to London leaves at nine o'clock.",
    "The train to Paris leaves at eight thirty.",
    "Turn on the light.",
)


@pytest.fixture(scope="module")
def recognizers(recognition):
    return recognition("recognizers")


@pytest.fixture(scope="module")
def whisper(recognizers):
    return recognizers.WhisperRecognizer()


@pytest.fixture(scope="module")
def sphinx(recognizers):
    return recognizers.SphinxRecognizer(LANGUAGE, SENTENCES)


@pytest.mark.parametrize("name", ["whisper", "sphinx"])
@pytest.mark.parametrize("voice", ["slt", "rms"])
def test_recordings_are_recognized(name, voice, recognition, record, request):
    recognizer = request.getfixturevalue(name)
    count = recognition("word_errors").word_errors
    found = [count(text, recognizer.recognize(*record(voice, text))) for text in SENTENCES]
    assert sum(each.errors for each in found) <= 1, found


@pytest.mark.parametrize("name", ["whisper", "sphinx"])
def test_text_depends_on_neither_order_nor_rate(name, record, request):
    recognizer = request.getfixturevalue(name)
    sounds = [record("slt", text) for text in SENTENCES]
    forwards = [recognizer.recognize(*sound) for sound in sounds]
    assert [recognizer.recognize(*sound) for sound in sounds[::-1]] == forwards[::-1]
    samples, rate = sounds[0]
    louder = soxr.resample(samples, rate, 24_000).astype(np.float32)
    assert recognizer.recognize(louder, 24_000).lower() == forwards[0].lower()


@pytest.mark.parametrize("name", ["whisper", "sphinx"])
@pytest.mark.parametrize("seconds", [0, 0.01, 1])
def test_silence_has_no_words_of_the_sentence(name, seconds, request):
    recognizer = request.getfixturevalue(name)
    silence = np.zeros(round(seconds * 24_000), np.float32)
    assert "weather" not in recognizer.recognize(silence, 24_000).lower()


def test_speech_longer_than_a_window_is_recognized_to_its_end(whisper, record):
    samples, rate = record("slt", " ".join([*SENTENCES] * 5))
    assert len(samples) > 30 * rate
    text = whisper.recognize(samples, rate)
    assert text.lower().count("kitchen") >= 4
    assert "7" in text[-20:] or "seven" in text[-20:].lower()


def test_words_that_the_dictionary_lacks_are_named(recognizers):
    found = recognizers.SphinxRecognizer(LANGUAGE, ["A qwertish dog."])
    assert found.missing_words == ["qwertish"]
