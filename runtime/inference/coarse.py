"""Semantic tokens to the first codebooks: sliding windows over one sequence.

Source: `BarkCoarseModel.generate` of transformers.
"""

import math

import numpy as np

from bark_onnx.graphs.generation_config import GenerationSettings, Sampling
from bark_onnx.graphs.voices.voice import Tokens, Voice
from bark_onnx.runtime.inference.decoders.decoder import SequenceGenerator, StepInput
from bark_onnx.runtime.inference.draws import Draw, check_drawn


def coarse_length(semantic_tokens: int, settings: GenerationSettings) -> int:
    """Number of coarse tokens for a number of semantic tokens, in float32 as in transformers."""
    codebooks = settings.coarse.n_coarse_codebooks
    ratio = np.float32(settings.semantic_to_coarse_ratio)
    frames = np.floor(np.float32(semantic_tokens) * ratio / np.float32(codebooks))
    return int(frames) * codebooks


def generate_coarse(
    semantic_tokens: Tokens,
    voice: Voice | None,
    settings: GenerationSettings,
    sampling: Sampling,
    rng: np.random.Generator,
) -> SequenceGenerator[Tokens]:
    """Sample coarse tokens, window by window.

    The prompt of a window is the semantic tokens around its position, then the coarse tokens before
    it. The part that equals the beginning of the last window's prompt stays in the cache.

    Returns:
        Codes, int64 (frames, codebooks), each below the codebook's size.
    """
    coarse = settings.coarse
    semantic_history, coarse_history = _history(voice, settings)
    semantic = np.concatenate([semantic_history, semantic_tokens])
    start = len(coarse_history)
    total = coarse_length(len(semantic_tokens), settings)
    tokens = np.concatenate([coarse_history, np.zeros(total, np.int64)])
    # As `AlternatingCodebooksLogitsProcessor`: the first codebook has the first logits, the second
    # one all others.
    size = settings.codebook_size
    draws = Draw(sampling, rng, stop=size), Draw(sampling, rng, first=size)
    cached = np.zeros(0, np.int64)  # tokens in the cache
    generated = 0
    while generated < total:
        before = tokens[: start + generated][-coarse.max_coarse_history :]
        context = _context(semantic, len(semantic_history), generated, settings)
        prompt = np.concatenate([context, before])
        kept = _common_prefix(cached, prompt)
        step = StepInput(prompt[kept:], kept, draw=draws[0])
        window = min(coarse.sliding_window_len, total - generated)
        for index in range(window):
            token = yield step
            check_drawn(token, "coarse")
            tokens[start + generated + index] = token + settings.semantic.semantic_vocab_size
            last = tokens[start + generated + index :][:1]
            step = StepInput(last, len(prompt) + index, draw=draws[(index + 1) % 2])
        cached = np.concatenate([prompt, tokens[start + generated :][: window - 1]])
        generated += window
    codes = (tokens[start:] - settings.semantic.semantic_vocab_size) % settings.codebook_size
    return codes.reshape(-1, coarse.n_coarse_codebooks)


def _history(voice: Voice | None, settings: GenerationSettings) -> tuple[Tokens, Tokens]:
    """End of a voice: semantic tokens (n,) and coarse tokens (m,), both as model input."""
    if voice is None:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    codebooks = len(voice.coarse_prompt)
    offsets = np.arange(codebooks) * settings.codebook_size
    coarse = (voice.coarse_prompt + offsets[:, None]).T.reshape(-1)
    coarse = coarse + settings.semantic.semantic_vocab_size
    ratio = settings.semantic_to_coarse_ratio
    available = len(voice.semantic_prompt)
    count = min(
        settings.max_semantic_history,
        available - available % 2,
        math.floor(len(coarse) / ratio),
    )
    # A count of 0 selects everything, in transformers too. The last frame is dropped because Suno
    # found that it sounds better.
    return voice.semantic_prompt[-count:], coarse[-round(count * ratio) :][:-2]


def _context(
    semantic: Tokens, num_history: int, generated: int, settings: GenerationSettings
) -> Tokens:
    """Semantic part of a window's prompt, with the infer token that ends it."""
    coarse = settings.coarse
    position = num_history + round(generated / settings.semantic_to_coarse_ratio)
    length = coarse.max_coarse_input_length
    visible = semantic[max(0, position - settings.max_semantic_history) :][:length]
    context = np.full(length + 1, coarse.coarse_semantic_pad_token)
    context[: len(visible)] = visible
    context[-1] = coarse.coarse_infer_token
    return context


def _common_prefix(cached: Tokens, prompt: Tokens) -> int:
    """Number of leading tokens of `prompt` that are cached; at least one token remains to run."""
    length = min(len(cached), len(prompt) - 1)
    different = np.flatnonzero(cached[:length] != prompt[:length])
    return int(different[0]) if len(different) else length
