"""Semantic tokens to the first codebooks: sliding windows over one row.

Source: `BarkCoarseModel.generate` of transformers.
"""

import math

import numpy as np

from bark_onnx.graphs.generation_config import GenerationSettings, Sampling
from bark_onnx.graphs.voices.voice import Tokens, Voice
from bark_onnx.runtime.inference.decoders.decoder import SequenceGenerator, StepInput
from bark_onnx.runtime.inference.sampling import sample_token


def coarse_length(semantic_tokens: int, settings: GenerationSettings) -> int:
    """Coarse tokens that belong to a number of semantic tokens.

    In single precision, as in transformers.
    """
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
    """Draw coarse tokens, window by window.

    A window's prompt is the semantic tokens around the place that is being spoken, then the coarse
    tokens before it. Where it begins as the last window's did, that part of the cache is kept.

    Returns:
        Codes, int64 (frames, codebooks), each below the codebook's size.
    """
    coarse = settings.coarse
    heard, spoken = _history(voice, settings)
    semantic = np.concatenate([heard, semantic_tokens])
    start = len(spoken)
    total = coarse_length(len(semantic_tokens), settings)
    tokens = np.concatenate([spoken, np.zeros(total, np.int64)])
    cached = np.zeros(0, np.int64)  # what the cache holds
    drawn = 0
    while drawn < total:
        before = tokens[: start + drawn][-coarse.max_coarse_history :]
        prompt = np.concatenate([_context(semantic, len(heard), drawn, settings), before])
        kept = _common_prefix(cached, prompt)
        feed = StepInput(prompt[kept:], kept)
        window = min(coarse.sliding_window_len, total - drawn)
        for step in range(window):
            logits = yield feed
            first, last = _codebook_range(step, len(logits), settings)
            token = first + sample_token(logits[first:last], sampling, rng)
            tokens[start + drawn + step] = token + settings.semantic.semantic_vocab_size
            feed = StepInput(tokens[start + drawn + step :][:1], len(prompt) + step)
        cached = np.concatenate([prompt, tokens[start + drawn :][: window - 1]])
        drawn += window
    codes = (tokens[start:] - settings.semantic.semantic_vocab_size) % settings.codebook_size
    return codes.reshape(-1, coarse.n_coarse_codebooks)


def _history(voice: Voice | None, settings: GenerationSettings) -> tuple[Tokens, Tokens]:
    """The end of a voice: semantic tokens (n,), and coarse tokens (m,) as they are fed."""
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
    # A count of 0 takes everything, in transformers too. The last frame is dropped because it
    # sounds better so (Suno's words).
    return voice.semantic_prompt[-count:], coarse[-round(count * ratio) :][:-2]


def _context(semantic: Tokens, heard: int, drawn: int, settings: GenerationSettings) -> Tokens:
    """Semantic part of a window's prompt, with the token that ends it."""
    coarse = settings.coarse
    position = heard + round(drawn / settings.semantic_to_coarse_ratio)
    length = coarse.max_coarse_input_length
    visible = semantic[max(0, position - settings.max_semantic_history) :][:length]
    context = np.full(length + 1, coarse.coarse_semantic_pad_token)
    context[: len(visible)] = visible
    context[-1] = coarse.coarse_infer_token
    return context


def _codebook_range(step: int, num_logits: int, settings: GenerationSettings) -> tuple[int, int]:
    """Logits that `AlternatingCodebooksLogitsProcessor` leaves at a step of a window."""
    if step % 2 == 0:
        return 0, settings.codebook_size
    return settings.codebook_size, num_logits


def _common_prefix(cached: Tokens, prompt: Tokens) -> int:
    """Tokens at the beginning of `prompt` that need no computing; at least one is left over."""
    length = min(len(cached), len(prompt) - 1)
    different = np.flatnonzero(cached[:length] != prompt[:length])
    return int(different[0]) if len(different) else length
