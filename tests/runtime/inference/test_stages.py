"""Generation loops against those of transformers, both driven by the same scripted transformer."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import BarkCoarseConfig, BarkFineConfig
from transformers.generation.logits_process import LogitsProcessorList
from transformers.models.bark.generation_configuration_bark import (
    BarkCoarseGenerationConfig,
    BarkFineGenerationConfig,
    BarkSemanticGenerationConfig,
)
from transformers.models.bark.modeling_bark import (
    BarkCausalModel,
    BarkCoarseModel,
    BarkFineModel,
)

from bark_onnx.graphs.errors import EngineError
from bark_onnx.graphs.voices.voice import Voice
from bark_onnx.runtime.inference.coarse import coarse_length, generate_coarse
from bark_onnx.runtime.inference.codec import generate_samples
from bark_onnx.runtime.inference.draws import draw_token
from bark_onnx.runtime.inference.fine import draw_codes, fine_passes, generate_fine
from bark_onnx.runtime.inference.sampling import Sampling
from bark_onnx.runtime.inference.semantic import generate_semantic, semantic_prompt
from bark_onnx.runtime.options.generation import GenerationOptions
from tests.support.messages import assert_one_line
from tests.support.sizes import SETTINGS, SHAPES

GREEDY = Sampling(do_sample=False, temperature=1.0, top_k=0, top_p=1.0)
SEMANTIC = BarkSemanticGenerationConfig()
COARSE = BarkCoarseGenerationConfig()
FINE = BarkFineGenerationConfig()
WINDOW = 60  # coarse tokens generated per window

# Distinct scores in random order; each rotation favors another token.
SCORES = np.random.default_rng(0).permutation(2_096).astype(np.float32)


def _coarse_logits(tokens: np.ndarray) -> np.ndarray:
    """Logits of the scripted coarse transformer: a function of all tokens before."""
    return np.roll(SCORES, int(tokens @ np.arange(1, len(tokens) + 1)) % len(SCORES))


def _voice(semantic: int, frames: int, seed: int = 0) -> Voice:
    rng = np.random.default_rng(seed)
    fine = rng.integers(0, 1024, (8, frames))
    return Voice(rng.integers(0, 10_000, semantic), fine[:2], fine)


def _history(voice: Voice | None) -> dict[str, torch.Tensor] | None:
    return voice and {
        key: torch.tensor(getattr(voice, key))
        for key in ("semantic_prompt", "coarse_prompt", "fine_prompt")
    }


voices = st.none() | st.builds(_voice, st.integers(1, 300), st.integers(1, 700), st.integers(0, 5))


def test_the_settings_of_the_tests_are_the_defaults_of_transformers():
    assert SETTINGS.semantic.semantic_rate_hz == SEMANTIC.semantic_rate_hz
    assert SETTINGS.semantic.text_encoding_offset == SEMANTIC.text_encoding_offset
    for name in (
        "coarse_semantic_pad_token",
        "coarse_infer_token",
        "coarse_rate_hz",
        "max_coarse_input_length",
        "max_coarse_history",
        "sliding_window_len",
    ):
        assert getattr(SETTINGS.coarse, name) == getattr(COARSE, name)
    for name in ("max_fine_history_length", "max_fine_input_length", "n_fine_codebooks"):
        assert getattr(SETTINGS.fine, name) == getattr(FINE, name)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("stage", ["semantic", "coarse", "fine", "codec"])
def test_what_is_no_number_is_an_error_of_its_stage(stage: str, value: float):
    rng = np.random.default_rng(0)
    sampling = Sampling(do_sample=True, temperature=0.7, top_k=50, top_p=1.0)
    codes, semantic = np.zeros((4, 2), np.int64), np.arange(4)
    options = GenerationOptions().resolve(SETTINGS, SHAPES.semantic)
    generators = {
        "semantic": lambda: generate_semantic(
            semantic_prompt(semantic, None, SETTINGS.semantic, SHAPES.semantic),
            *(SETTINGS.semantic, options, rng),
        ),
        "coarse": lambda: generate_coarse(semantic, None, SETTINGS, sampling, rng),
        "fine": lambda: generate_fine(codes, None, SETTINGS, sampling, rng),
        "codec": lambda: generate_samples(codes),
    }
    generator: Any = generators[stage]()
    step = next(generator)
    values = np.zeros((1024, 1056) if stage == "fine" else 10_001, np.float32)
    values.flat[7] = value
    answers = {
        "semantic": lambda: draw_token(values, step.draw),
        "coarse": lambda: draw_token(values, step.draw),
        "fine": lambda: draw_codes(values, step.draw),
    }
    with pytest.raises(EngineError) as caught:
        generator.send(answers[stage]() if stage in answers else values)
    assert_one_line(caught.value, f"The {stage} stage", "not numbers", "another precision")


# Semantic


def _prompt(text_ids: np.ndarray, voice: Voice | None) -> tuple[np.ndarray, np.ndarray]:
    prompt = semantic_prompt(text_ids, voice, SETTINGS.semantic, SHAPES.semantic)
    assert prompt.past_length == 0
    assert prompt.history_ids is not None
    return prompt.input_ids, prompt.history_ids


def test_a_semantic_prompt_is_the_text_padded_to_256_and_the_infer_token():
    ids, history = _prompt(np.array([5, 6]), None)
    assert ids.tolist() == [10_053, 10_054, *[129_595] * 254, 129_599]
    assert history.tolist() == [*[10_000] * 256, 129_600]


def test_a_short_voice_is_padded_on_the_right_and_a_long_one_cropped_to_its_end():
    short, long = _voice(3, 4), _voice(300, 4)
    assert _prompt(np.array([5]), short)[1].tolist() == [
        *short.semantic_prompt,
        *[10_000] * 253,
        129_600,
    ]
    assert _prompt(np.array([5]), long)[1].tolist() == [*long.semantic_prompt[44:], 129_600]


def test_a_text_of_256_tokens_needs_no_padding():
    ids, _ = _prompt(np.arange(256), None)
    assert ids.tolist() == [*range(10_048, 10_048 + 256), 129_599]


# Coarse


def test_coarse_length_equals_transformers_for_every_number_of_semantic_tokens():
    ratio = COARSE.coarse_rate_hz / SEMANTIC.semantic_rate_hz * COARSE.n_coarse_codebooks
    counts = torch.arange(769)
    expected = torch.floor(counts * ratio / COARSE.n_coarse_codebooks)
    expected = torch.round(expected * COARSE.n_coarse_codebooks).int()
    assert [coarse_length(count, SETTINGS) for count in range(769)] == expected.tolist()


@pytest.mark.parametrize(("semantic", "frames"), [(0, 0), (1, 1), (2, 3), (499, 750), (768, 1154)])
def test_coarse_length_has_75_frames_for_about_50_semantic_tokens(semantic: int, frames: int):
    assert coarse_length(semantic, SETTINGS) == 2 * frames


@pytest.fixture(scope="module")
def coarse_of_transformers() -> Iterator[Any]:
    """`BarkCoarseModel` whose transformer is scripted; its prompts are in `prompts`."""
    size = {"num_layers": 1, "num_heads": 1, "hidden_size": 2}
    model = BarkCoarseModel(BarkCoarseConfig(**size))
    prompts: list[list[int]] = []

    def generate(self, prompt, *, logits_processor, max_new_tokens, **_):
        tokens = prompt.long()
        prompts.append(tokens[0].tolist())
        processors = LogitsProcessorList(logits_processor)
        for _ in range(max_new_tokens):
            scores = torch.zeros((1, 12_096))
            scores[0, 10_000:] = torch.from_numpy(_coarse_logits(tokens[0].numpy()))
            tokens = torch.cat([tokens, processors(tokens, scores).argmax(-1)[None]], dim=1)
        return tokens

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BarkCausalModel, "generate", generate, raising=False)
        yield SimpleNamespace(model=model, prompts=prompts)


def _coarse(
    semantic: np.ndarray, voice: Voice | None
) -> tuple[np.ndarray, list[list[int]], list[int]]:
    """Codes, the full prompt of each window, and the number of tokens of each prefill."""
    sequence = generate_coarse(semantic, voice, SETTINGS, GREEDY, np.random.default_rng(0))
    cache = np.zeros(0, np.int64)
    prompts: list[list[int]] = []
    prefills: list[int] = []
    steps = 0
    try:
        step = next(sequence)
        while True:
            assert step.past_length <= len(cache)
            assert len(step.input_ids) > 0
            cache = np.concatenate([cache[: step.past_length], step.input_ids])
            if steps % WINDOW == 0:
                prompts.append(cache.tolist())
                prefills.append(len(step.input_ids))
            else:
                assert len(step.input_ids) == 1
            assert step.draw is not None
            step = sequence.send(draw_token(_coarse_logits(cache), step.draw))
            steps += 1
    except StopIteration as end:
        return end.value, prompts, prefills


@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 320), voice=voices, seed=st.integers(0, 100))
@example(count=1, voice=None, seed=0)
@example(count=768, voice=None, seed=1)
@example(count=768, voice=_voice(256, 400), seed=2)
@example(count=30, voice=_voice(1, 1), seed=3)
@example(count=30, voice=_voice(300, 1), seed=4)
@example(count=30, voice=_voice(1, 300), seed=5)
@example(count=30, voice=_voice(2, 2), seed=6)
def test_coarse_windows_equal_those_of_transformers(coarse_of_transformers, count, voice, seed):
    semantic = np.random.default_rng(seed).integers(0, 10_000, count)
    coarse_of_transformers.prompts.clear()
    expected = coarse_of_transformers.model.generate(
        torch.from_numpy(semantic)[None],
        semantic_generation_config=SEMANTIC,
        coarse_generation_config=COARSE,
        codebook_size=1024,
        history_prompt=_history(voice),
    )
    codes, prompts, _ = _coarse(semantic, voice)
    assert prompts == coarse_of_transformers.prompts
    assert codes.reshape(-1).tolist() == ((expected[0] - 10_000) % 1024).tolist()
    assert codes.shape == (coarse_length(count, SETTINGS) // 2, 2)


def test_windows_without_a_voice_run_one_token_until_they_slide():
    _, prompts, prefills = _coarse(np.arange(768), None)
    # The semantic part stays the same for the first 209 positions.
    position = [round(window * WINDOW / SETTINGS.semantic_to_coarse_ratio) for window in range(39)]
    still = sum(place <= SETTINGS.max_semantic_history for place in position)
    assert still >= 10
    assert prefills[0] == len(prompts[0]) == 257
    assert prefills[1:still] == [1] * (still - 1)
    assert min(prefills[still:]) > 800


def test_every_window_runs_its_whole_prompt_when_a_voice_fills_it():
    _, prompts, prefills = _coarse(np.arange(100), _voice(400, 800))
    assert prefills == [len(prompt) for prompt in prompts]
    assert max(prefills) == 257 + 630


def test_coarse_codes_are_empty_without_semantic_tokens():
    for voice in (None, _voice(20, 30)):
        codes, prompts, _ = _coarse(np.zeros(0, np.int64), voice)
        assert codes.shape == (0, 2)
        assert prompts == []


# Fine

ROWS = np.random.default_rng(1).permutation(1024)


def _fine_winners(codes: np.ndarray, codebook: int) -> np.ndarray:
    """Best code per frame of the scripted fine transformer: a function of neighboring frames."""
    known = codes[:, : codebook + 1] @ np.arange(1, codebook + 2)
    spread = known + 3 * np.roll(known, 1) + 5 * np.roll(known, -7) + np.arange(len(known))
    return ROWS[(spread + codebook) % 1024]


@pytest.fixture(scope="module")
def fine_of_transformers() -> BarkFineModel:
    """`BarkFineModel` whose transformer is scripted."""
    model = BarkFineModel(BarkFineConfig(num_layers=1, num_heads=1, hidden_size=2))

    def forward(codebook: int, codes: torch.Tensor) -> SimpleNamespace:
        winners = torch.from_numpy(_fine_winners(codes[0].numpy(), codebook))
        # Ids from 1024 on are never codes, whatever their scores.
        logits = torch.zeros((1, len(winners), 1056))
        logits[0, :, 1024:] = 2
        logits[0, torch.arange(len(winners)), winners] = 1
        return SimpleNamespace(logits=logits)

    model.forward = forward
    return model


def _fine(coarse: np.ndarray, voice: Voice | None) -> tuple[np.ndarray, list[tuple[int, Any]]]:
    """Codes, and the codebook and frames of each run of the transformer."""
    sequence = generate_fine(coarse, voice, SETTINGS, GREEDY, np.random.default_rng(0))
    runs: list[tuple[int, Any]] = []
    try:
        fine_pass = next(sequence)
        while True:
            codes, codebook, frames = fine_pass.codes, fine_pass.codebook, fine_pass.frames
            assert codes.shape == (1024, 8)
            assert ((frames >= 0) & (frames < 1024)).all()
            runs.append((codebook, frames))
            logits = np.zeros((len(frames), 1024), np.float32)
            logits[np.arange(len(frames)), _fine_winners(codes, codebook)[frames]] = 1
            fine_pass = sequence.send(draw_codes(logits, fine_pass.draw))
    except StopIteration as end:
        return end.value, runs


@settings(max_examples=12, deadline=None)
@given(frames=st.integers(1, 1200), voice=voices, seed=st.integers(0, 100))
@example(frames=1, voice=None, seed=0)
@example(frames=1024, voice=None, seed=0)
@example(frames=1025, voice=None, seed=0)
@example(frames=512, voice=_voice(5, 512), seed=0)
@example(frames=513, voice=_voice(5, 700), seed=0)
@example(frames=1154, voice=_voice(5, 700), seed=0)
def test_fine_windows_equal_those_of_transformers(fine_of_transformers, frames, voice, seed):
    coarse = np.random.default_rng(seed).integers(0, 1024, (frames, 2))
    flat = torch.from_numpy((coarse + np.array([10_000, 11_024])).reshape(1, -1))
    expected = fine_of_transformers.generate(
        flat,
        semantic_generation_config=SEMANTIC,
        coarse_generation_config=COARSE,
        fine_generation_config=FINE,
        codebook_size=1024,
        history_prompt=_history(voice),
        temperature=None,
    )
    codes, runs = _fine(coarse, voice)
    np.testing.assert_array_equal(codes.T, expected[0].numpy())
    np.testing.assert_array_equal(codes[:, :2], coarse)
    assert len(runs) == fine_passes(frames, voice, SETTINGS)


@pytest.mark.parametrize(
    ("frames", "history", "windows"),
    [
        (1, 0, 1),
        (1024, 0, 1),
        (1025, 0, 2),
        (1536, 0, 2),
        (1537, 0, 3),
        (512, 600, 1),
        (513, 600, 2),
        (1024, 100, 2),
    ],
)
def test_fine_windows_cover_all_frames(frames: int, history: int, windows: int):
    voice = _voice(5, history) if history else None
    codes, runs = _fine(np.zeros((frames, 2), np.int64), voice)
    assert len(runs) == fine_passes(frames, voice, SETTINGS) == 6 * windows
    assert codes.shape == (frames, 8)
    assert codes.max() < 1024  # every code is predicted
    assert [codebook for codebook, _ in runs] == [2, 3, 4, 5, 6, 7] * windows


def test_the_last_codebook_is_not_predicted_for_padding():
    _, runs = _fine(np.zeros((10, 2), np.int64), None)
    assert [len(frames) for _, frames in runs] == [1024] * 5 + [10]


def test_no_transformer_runs_without_frames():
    for voice in (None, _voice(20, 30)):
        codes, runs = _fine(np.zeros((0, 2), np.int64), voice)
        assert codes.shape == (0, 8)
        assert runs == []
        assert fine_passes(0, voice, SETTINGS) == 0
