"""Greedy speech equals that of BarkModel in transformers: every token, and samples nearly."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from bark_onnx.runtime import AudioError, Bark, GenerationOptions, Speech, Voice, VoiceError
from tests.support.fixtures import CachedReference, preset
from tests.support.messages import assert_one_line
from tests.support.reference import GREEDY, ReferenceSpeech

TEXT = "Hello, my dog is cute"
PRESETS = ["announcer", "en_speaker_6", "v2/en_speaker_6", "fr_speaker_5"]


def _ids(bark: Bark, text: str) -> np.ndarray:
    return bark._builder.tokenizer.encode(text)


def _speak(bark: Bark, text: str, voice: Voice | None = None, **overrides: Any) -> Speech:
    return bark.speak(text, voice=voice, options=GenerationOptions.greedy(), **overrides)


def _equal(speech: Speech, expected: ReferenceSpeech) -> None:
    np.testing.assert_array_equal(speech.semantic_tokens, expected.semantic_tokens)
    np.testing.assert_array_equal(speech.coarse_tokens, expected.coarse_tokens)
    np.testing.assert_array_equal(speech.fine_tokens, expected.fine_tokens)
    assert speech.provenance is not None
    # cuDNN's LSTM may use TF32, whatever ONNX Runtime asks for.
    tolerance = {"cpu": 1e-4, "cuda": 1e-2, "webgpu": 1e-4}[speech.provenance.bundle.provider]
    np.testing.assert_allclose(speech.samples, expected.samples, atol=tolerance, rtol=0)
    assert (speech.samples.dtype, speech.fine_tokens.dtype) == (np.float32, np.int64)


def _compare(
    bark: Bark, reference: CachedReference, text: str, voice: Voice | None = None, **overrides: Any
) -> Speech:
    speech = _speak(bark, text, voice, **overrides)
    _equal(speech, reference.generate(_ids(bark, text), voice, **GREEDY, **overrides))
    return speech


@pytest.fixture(params=["random_bark", "standard"])
def either(request: pytest.FixtureRequest) -> Bark:
    """The random checkpoint in both forms of attention."""
    return request.getfixturevalue(request.param)


def test_speech_without_a_voice_equals_transformers(
    either: Bark, random_reference: CachedReference
):
    speech = _compare(either, random_reference, TEXT, semantic_max_new_tokens=60)
    assert len(speech.semantic_tokens) == 60
    assert speech.samples.shape == (90 * 320,)
    assert speech.samples.std() > 0.01


@pytest.mark.parametrize("name", PRESETS)
def test_speech_with_a_preset_of_suno_equals_transformers(
    either: Bark, random_reference: CachedReference, name: str
):
    _compare(either, random_reference, TEXT, preset(name), semantic_max_new_tokens=25)


def test_speech_with_a_voice_of_the_bundle_equals_transformers(
    either: Bark, random_reference: CachedReference
):
    speech = either.speak(
        TEXT,
        voice="v2/en_speaker_0",
        options=GenerationOptions.greedy(),
        semantic_max_new_tokens=25,
    )
    voice = either.voice("v2/en_speaker_0")
    expected = random_reference.generate(
        _ids(either, TEXT), voice, **GREEDY, semantic_max_new_tokens=25
    )
    _equal(speech, expected)
    other = _speak(either, TEXT, semantic_max_new_tokens=25)
    assert other.semantic_tokens.tolist() != speech.semantic_tokens.tolist()


@pytest.mark.parametrize("name", [None, *PRESETS])
def test_speech_with_the_vocabularies_of_suno_equals_transformers(
    real: Bark, real_reference: CachedReference, name: str | None
):
    voice = preset(name) if name else None
    _compare(
        real, real_reference, "Ça va? 你好! ♪ la la ♪ [laughs]", voice, semantic_max_new_tokens=25
    )


def test_a_text_of_one_token_equals_transformers(either: Bark, random_reference: CachedReference):
    assert len(_ids(either, "a")) == 1
    _compare(either, random_reference, "a", semantic_max_new_tokens=20)


def test_a_text_of_exactly_256_tokens_equals_transformers(
    either: Bark, random_reference: CachedReference
):
    text = "abcdefgh " * 32
    assert len(_ids(either, text)) == 256
    _compare(either, random_reference, text, semantic_max_new_tokens=20)


def test_a_text_of_more_than_256_tokens_is_truncated_as_in_transformers_with_a_warning(
    either: Bark, random_reference: CachedReference
):
    text = "the quick brown fox jumps " * 16
    with pytest.warns(UserWarning, match=r"the quick.* has 336 tokens; Bark reads the first 256"):
        speech = _speak(either, text, semantic_max_new_tokens=20)
    tokenizer = either._builder.tokenizer._tokenizer
    ids = np.array(tokenizer.encode(text, add_special_tokens=False).ids)
    assert len(ids) == 336
    _equal(speech, random_reference.generate(ids, **GREEDY, semantic_max_new_tokens=20))


@pytest.mark.parametrize("name", [None, "en_speaker_6"])
def test_one_semantic_token_gives_one_frame(
    either: Bark, random_reference: CachedReference, name: str | None
):
    voice = preset(name) if name else None
    speech = _compare(either, random_reference, TEXT, voice, semantic_max_new_tokens=1)
    assert speech.fine_tokens.shape == (8, 1)
    assert speech.samples.shape == (320,)


def _end_probabilities(cached: CachedReference, ids: np.ndarray, tokens: int) -> np.ndarray:
    """Probability of the end before each token of a greedy utterance in transformers."""
    seen: list[float] = []

    def look(_module: torch.nn.Module, _inputs: Any, logits: torch.Tensor) -> None:
        seen.append(float(torch.softmax(logits[0, -1, :10_001], -1)[10_000]))

    hook = cached.reference.model.semantic.lm_head.register_forward_hook(look)
    try:
        cached.reference.generate(ids, **GREEDY, semantic_max_new_tokens=tokens)
    finally:
        hook.remove()
    return np.array(seen)


def test_min_eos_p_ends_the_utterance_where_transformers_does(
    either: Bark, random_reference: CachedReference
):
    probabilities = _end_probabilities(random_reference, _ids(either, TEXT), 25)
    # The last position where the end is far more probable than at all positions before.
    highest = np.maximum.accumulate(probabilities)
    position = int(np.flatnonzero(probabilities[1:] > 1.5 * highest[:-1])[-1]) + 1
    threshold = float(np.sqrt(highest[position - 1] * probabilities[position]))
    speech = _compare(
        either, random_reference, TEXT, semantic_max_new_tokens=25, min_eos_p=threshold
    )
    assert len(speech.semantic_tokens) == position


def test_an_unreached_min_eos_p_changes_nothing(either: Bark, random_reference: CachedReference):
    speech = _compare(either, random_reference, TEXT, semantic_max_new_tokens=25, min_eos_p=1.0)
    assert len(speech.semantic_tokens) == 25


@pytest.mark.parametrize("attention", ["fused", "standard"])
def test_an_utterance_that_ends_by_itself_equals_transformers(
    ending_bundle: Callable[[str], Path], ending_reference: CachedReference, attention: str
):
    bark = Bark.load(ending_bundle(attention))
    lengths = [
        len(_compare(bark, ending_reference, text, semantic_max_new_tokens=150).semantic_tokens)
        for text in (TEXT, "b c d", "Hi")
    ]
    assert max(lengths) < 150
    assert len(set(lengths)) > 1


def test_sliding_coarse_windows_equal_transformers(either: Bark, random_reference: CachedReference):
    speech = _compare(either, random_reference, TEXT, semantic_max_new_tokens=460)
    assert len(speech.semantic_tokens) == 460


def test_the_longest_utterance_with_several_fine_windows_equals_transformers(
    either: Bark, random_reference: CachedReference
):
    voice = preset("fr_speaker_5")
    assert voice.fine_prompt.shape[1] > 512
    speech = _compare(either, random_reference, TEXT, voice, semantic_max_new_tokens=768)
    assert speech.fine_tokens.shape == (8, 1154)


def test_temperatures_have_no_effect_without_sampling(
    either: Bark, random_reference: CachedReference
):
    plain = _compare(either, random_reference, TEXT, semantic_max_new_tokens=25)
    warm = _speak(
        either,
        TEXT,
        semantic_max_new_tokens=25,
        semantic_temperature=0.3,
        coarse_temperature=1.7,
        fine_temperature=0.3,
    )
    expected = random_reference.generate(
        _ids(either, TEXT),
        **GREEDY,
        semantic_max_new_tokens=25,
        semantic_temperature=0.3,
        coarse_temperature=1.7,
    )
    _equal(warm, expected)
    np.testing.assert_array_equal(warm.samples, plain.samples)


def test_a_fine_temperature_of_1_is_greedy_as_in_transformers(
    either: Bark, random_reference: CachedReference
):
    speech = either.speak(
        TEXT,
        semantic_do_sample=False,
        coarse_do_sample=False,
        fine_temperature=1.0,
        semantic_max_new_tokens=25,
    )
    options = {"semantic_do_sample": False, "coarse_do_sample": False, "fine_temperature": 1.0}
    expected = random_reference.generate(_ids(either, TEXT), **options, semantic_max_new_tokens=25)
    _equal(speech, expected)


@pytest.mark.parametrize("name", [None, "en_speaker_6"])
def test_an_empty_utterance_has_empty_tokens_and_samples(either: Bark, name: str | None):
    voice = preset(name) if name else None
    speech = _speak(either, TEXT, voice, min_eos_p=1e-30)
    assert speech.samples.shape == speech.semantic_tokens.shape == (0,)
    assert speech.coarse_tokens.shape == (2, 0)
    assert speech.fine_tokens.shape == (8, 0)
    assert {speech.samples.dtype, speech.fine_tokens.dtype} == {
        np.dtype(np.float32),
        np.dtype(np.int64),
    }
    assert speech.seconds == 0
    with pytest.raises(VoiceError, match="at least one token"):
        speech.to_voice()


@pytest.mark.parametrize("suffix", ["wav", "ogg"])
def test_an_empty_utterance_is_saved_as_a_file_without_samples(
    random_bark: Bark, tmp_path: Path, suffix: str
):
    path = tmp_path / f"empty.{suffix}"
    _speak(random_bark, TEXT, min_eos_p=1e-30).save(path)
    assert soundfile.info(path).frames == 0


@pytest.mark.parametrize("suffix", ["flac", "mp3"])
def test_an_empty_utterance_leaves_no_unreadable_file(
    random_bark: Bark, tmp_path: Path, suffix: str
):
    speech = _speak(random_bark, TEXT, min_eos_p=1e-30)
    with pytest.raises(AudioError) as caught:
        speech.save(tmp_path / f"empty.{suffix}")
    assert_one_line(caught.value, f"empty.{suffix}", "no audio was generated", "wav", "ogg")
    assert list(tmp_path.iterdir()) == []


def test_equal_seeds_give_equal_speech_and_others_do_not(either: Bark):
    first, again, other = (
        either.speak(TEXT, seed=seed, semantic_max_new_tokens=20) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first.samples, again.samples)
    np.testing.assert_array_equal(first.fine_tokens, again.fine_tokens)
    assert first.semantic_tokens.tolist() != other.semantic_tokens.tolist()


def test_a_drawn_seed_reproduces_the_speech(random_bark: Bark):
    first, second = (random_bark.speak(TEXT, semantic_max_new_tokens=20) for _ in range(2))
    assert first.seed != second.seed
    again = random_bark.speak(TEXT, seed=first.seed, semantic_max_new_tokens=20)
    np.testing.assert_array_equal(first.samples, again.samples)


def test_speech_can_be_continued_as_in_transformers(
    either: Bark, random_reference: CachedReference
):
    voice = _speak(either, TEXT, semantic_max_new_tokens=20).to_voice()
    _compare(either, random_reference, "b c d", voice, semantic_max_new_tokens=20)
