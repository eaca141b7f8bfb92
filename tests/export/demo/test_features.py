"""What is read from a teacher: phones, pitch, and the phase of the voice."""

import numpy as np
import pytest

from bark_onnx.export.demo import features, flite, sizes
from bark_onnx.export.demo.corpus import TEACHERS
from bark_onnx.graphs.errors import ExportError

TEXT = "Hello! The weather is warm and sunny today."


@pytest.fixture(scope="module", params=sorted(TEACHERS))
def teacher(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def recording(teacher: str) -> flite.Recording:
    try:
        return flite.Flite(teacher).record(TEXT)
    except ExportError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def speech(teacher: str, recording: flite.Recording) -> features.Speech:
    return features.analyze(recording, TEACHERS[teacher])


def test_shapes_follow_the_semantic_tokens(speech: features.Speech) -> None:
    frames = len(speech.features)
    assert frames == len(speech.semantic) * 3 // 2
    assert speech.audio.shape == (frames * sizes.FRAME_SAMPLES,)
    assert speech.phase.shape == (frames + 1,)
    assert speech.features.shape[1] == features.FEATURES


def test_tokens_spell_the_phones(recording: flite.Recording, speech: features.Speech) -> None:
    expected = [phone.name for phone in recording.phones]
    inner = features.phone_names(speech.semantic)
    assert inner[0] == inner[-1] == "pau"
    assert inner[1:-1] == [name for name in expected if name != "pau" or name in inner[1:-1]][1:-1]


def test_places_follow_the_text(recording: flite.Recording, speech: features.Speech) -> None:
    letters = TEXT.replace(" ", "")
    known = ~np.isnan(speech.places)
    is_pause = np.array(
        [features.phone_names(np.array([token])) == ["pau"] for token in speech.semantic]
    )
    np.testing.assert_array_equal(known, ~is_pause)
    assert (np.diff(speech.places[known]) >= 0).all()
    assert -0.5 <= speech.places[known].min() < 0.5
    assert len(letters) - 3 < speech.places[known].max() < len(letters) - 1
    # The phone that begins each word is at the first letter of the word.
    starts = {phone.place: phone.name for phone in recording.phones}
    for word, phone in (("weather", "w"), ("warm", "w"), ("sunny", "s"), ("today", "t")):
        assert starts[letters.index(word)] == phone


@pytest.mark.parametrize(
    ("text", "word", "phones"),
    [
        ("It is 24, isn't it?", "24", 9),
        ("Yes, yes, yes.", "yes", 3),
        ('"Who?" she said.', "Who", 2),
    ],
)
def test_places_of_numbers_signs_and_repeated_words(text: str, word: str, phones: int) -> None:
    try:
        found = flite.Flite("slt").record(text).phones
    except ExportError as error:
        pytest.skip(str(error))
    start = len(text[: text.index(word)].replace(" ", ""))
    inside = [phone for phone in found if start <= phone.place < start + len(word)]
    assert len(inside) == phones
    assert inside[0].place == start
    assert inside[0].letters == pytest.approx(len(word) / phones)


def test_a_level_of_pitch_goes_with_the_pitch(teacher: str, speech: features.Speech) -> None:
    low, high = np.log2(TEACHERS[teacher])
    unvoiced = len(sizes.UNVOICED) * sizes.THIRDS
    tokens = speech.semantic
    level = (tokens - unvoiced) // sizes.THIRDS % sizes.PITCH_LEVELS
    frames = np.clip(
        ((np.arange(len(tokens)) + 0.5) * 1.5 - features.LOOKAHEAD).round().astype(int), 0, None
    )
    share = (speech.features[frames, features.PITCH] - low) / (high - low) * sizes.PITCH_LEVELS
    is_voiced = tokens >= unvoiced
    distance = np.abs(level + 0.5 - np.clip(share, 0, sizes.PITCH_LEVELS - 0.01))
    assert np.median(distance[is_voiced]) < 0.6


def test_the_audio_is_loudest_just_after_a_whole_turn(speech: features.Speech) -> None:
    """The phase follows the vocoder's pulses: the energy of voiced speech comes behind them."""
    samples = np.arange(len(speech.audio))
    turns = np.interp(
        samples, (np.arange(len(speech.phase)) + 1) * sizes.FRAME_SAMPLES, speech.phase
    )
    edges = np.diff(speech.audio, prepend=0.0) ** 2
    described = (np.arange(len(speech.features)) + features.LOOKAHEAD) * sizes.FRAME_SAMPLES
    is_voiced = np.interp(samples, described, speech.features[:, features.VOICING]) > 0.9
    is_voiced &= samples > sizes.FRAME_SAMPLES
    part = (turns[is_voiced] % 1 * 10).astype(int)
    energy = np.bincount(part, edges[is_voiced], minlength=10) / np.bincount(part, minlength=10)
    assert energy[[9, 0, 1]].mean() > 2 * energy[3:8].mean()


def test_long_pauses_at_the_ends_are_cut(
    recording: flite.Recording, speech: features.Speech
) -> None:
    assert len(speech.audio) / sizes.RATE_HZ < len(recording.audio) / flite.RATE_HZ
    lead = speech.audio[: int(0.05 * sizes.RATE_HZ)]
    assert np.abs(lead).max() < 0.05


def test_a_missing_voice_is_one_clear_line() -> None:
    with pytest.raises(ExportError, match="apt install flite"):
        flite.Flite("missing")
