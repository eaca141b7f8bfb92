"""The four stages of one request, as docs/specification.md has them.

Written for reading, one sequence at a time; the runtime, which shares none of this code, has to
repeat the results.
"""

import math
from typing import Any

import numpy as np

from bark_onnx.export.golden.models import CausalModel
from bark_onnx.export.golden.requests import Options, Trace
from bark_onnx.export.golden.sampling import (
    Logits,
    Margin,
    Uniforms,
    choose_codes,
    choose_token,
    softmax,
    token_shares,
)
from bark_onnx.export.session import Tokens
from bark_onnx.graphs import contract
from bark_onnx.graphs.generation_config import GenerationSettings, Sampling
from bark_onnx.graphs.voices.voice import Voice


def semantic_prompt(
    text_ids: Tokens, voice: Voice | None, settings: GenerationSettings, null_id: int
) -> tuple[Tokens, Tokens]:
    """Token ids and history ids of the semantic prompt."""
    semantic = settings.semantic
    length = semantic.max_input_semantic_length
    ids = np.full(length + 1, semantic.text_pad_token)
    ids[: len(text_ids)] = text_ids + semantic.text_encoding_offset
    ids[length] = semantic.semantic_infer_token
    history = np.full(length + 1, semantic.semantic_pad_token)
    if voice is not None:
        last = voice.semantic_prompt[-length:]
        history[: len(last)] = last
    history[length] = null_id
    return ids, history


def say_semantic(
    model: CausalModel,
    prompt: tuple[Tokens, Tokens],
    end: int,
    options: Options,
    uniforms: Uniforms,
    trace: Trace,
) -> Tokens:
    """Semantic tokens (n,); `end` is the index of the logit that ends them."""
    margin = trace.margins["semantic"] = Margin()
    ids, history = prompt
    logits = model.run(ids, 0, history)
    tokens: list[int] = []
    while True:
        trace.end_probabilities.append(float(softmax(logits)[end]))
        if _is_end_likely(logits, end, options):
            trace.end = "min_eos_p"
            break
        token = choose_token(logits, options.semantic, uniforms, margin)
        if token == end:
            trace.end = "token"
            break
        tokens.append(token)
        if len(tokens) == options.semantic_max_new_tokens:
            trace.end = "limit"
            break
        logits = model.run(np.array([token]), len(ids) + len(tokens) - 1)
    return np.array(tokens, np.int64)


def _is_end_likely(logits: Logits, end: int, options: Options) -> bool:
    if options.min_eos_p is None:
        return False
    if not options.min_eos_p_warped:
        return float(softmax(logits)[end]) > options.min_eos_p  # float32
    kept, shares = token_shares(logits, options.semantic)
    return bool(kept[-1] == end and shares[-1] >= options.min_eos_p)


def coarse_count(semantic_tokens: int, settings: GenerationSettings) -> int:
    """Number of coarse tokens for a number of semantic tokens, computed in single precision."""
    books = settings.coarse.n_coarse_codebooks
    ratio = np.float32(settings.semantic_to_coarse_ratio)
    return math.floor(np.float32(np.float32(semantic_tokens) * ratio) / np.float32(books)) * books


def coarse_history(voice: Voice | None, settings: GenerationSettings) -> tuple[Tokens, Tokens]:
    """The ends of a voice's semantic and coarse tokens, as ids of the coarse stage."""
    nothing = np.zeros(0, np.int64)
    if voice is None:
        return nothing, nothing
    first = settings.semantic.semantic_vocab_size
    codes = [
        first + book * settings.codebook_size + code
        for frame in voice.coarse_prompt.T.tolist()
        for book, code in enumerate(frame)
    ]
    ratio, available = settings.semantic_to_coarse_ratio, len(voice.semantic_prompt)
    count = min(
        settings.max_semantic_history,
        available - available % 2,
        math.floor(len(codes) / ratio),
    )
    kept = round(count * ratio)
    # A count of 0 keeps everything.
    semantic = voice.semantic_prompt[max(0, available - count) if count else 0 :]
    coarse = np.array(codes[max(0, len(codes) - kept) if kept else 0 :], np.int64)
    return semantic, coarse[: max(0, len(coarse) - 2)]


def coarse_context(
    semantic: Tokens, history: int, generated: int, settings: GenerationSettings
) -> Tokens:
    """The semantic part of a window's prompt, and the infer token behind it."""
    coarse = settings.coarse
    position = history + round(generated / settings.semantic_to_coarse_ratio)
    begin = max(0, position - settings.max_semantic_history)
    shown = semantic[begin : begin + coarse.max_coarse_input_length]
    padding = [coarse.coarse_semantic_pad_token] * (coarse.max_coarse_input_length - len(shown))
    return np.array([*shown, *padding, coarse.coarse_infer_token], np.int64)


def say_coarse(
    model: CausalModel,
    semantic_tokens: Tokens,
    voice: Voice | None,
    settings: GenerationSettings,
    sampling: Sampling,
    uniforms: Uniforms,
    trace: Trace,
) -> Tokens:
    """Codes (frames, coarse codebooks)."""
    margin = trace.margins["coarse"] = Margin()
    coarse, first = settings.coarse, settings.semantic.semantic_vocab_size
    semantic_history, before = coarse_history(voice, settings)
    semantic = np.concatenate([semantic_history, semantic_tokens])
    total = coarse_count(len(semantic_tokens), settings)
    ids = [*before.tolist()]  # of the voice, then those generated
    cached: list[int] = []  # ids whose keys and values are in the cache
    generated = 0
    while generated < total:
        context = coarse_context(semantic, len(semantic_history), generated, settings)
        prompt = [*context.tolist(), *ids[-coarse.max_coarse_history :]]
        kept = _equal_ids(cached, prompt[:-1])
        trace.coarse_windows.append({"generated": generated, "kept": kept, "prompt": prompt})
        logits = model.run(np.array(prompt[kept:]), kept)
        window = min(coarse.sliding_window_len, total - generated)
        for index in range(window):
            begin = 0 if index % 2 == 0 else settings.codebook_size
            stop = settings.codebook_size if index % 2 == 0 else len(logits)
            token = begin + choose_token(logits[begin:stop], sampling, uniforms, margin)
            ids.append(first + token)
            if index < window - 1:
                logits = model.run(np.array(ids[-1:]), len(prompt) + index)
        cached = [*prompt, *ids[len(ids) - window : -1]]
        generated += window
    codes = (np.array(ids[len(before) :], np.int64) - first) % settings.codebook_size
    return codes.reshape(-1, coarse.n_coarse_codebooks)


def _equal_ids(first: list[int], second: list[int]) -> int:
    """Number of leading ids that two lists share."""
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count


def say_fine(
    session: Any,
    coarse_codes: Tokens,
    voice: Voice | None,
    settings: GenerationSettings,
    sampling: Sampling,
    uniforms: Uniforms,
    trace: Trace,
) -> Tokens:
    """Codes (frames, codebooks) of coarse codes (frames, coarse codebooks)."""
    margin = trace.margins["fine"] = Margin()
    fine, unknown = settings.fine, settings.codebook_size
    frames, known = coarse_codes.shape
    window, step, books = (
        fine.max_fine_input_length,
        fine.max_fine_history_length,
        fine.n_fine_codebooks,
    )
    if frames == 0:
        return np.zeros((0, books), np.int64)
    history = np.zeros((0, books), np.int64) if voice is None else voice.fine_prompt.T[-step:]
    used = len(history) + frames
    codes = np.full((max(used, window), books), unknown)
    codes[: len(history)] = history
    codes[len(history) : used, :known] = coarse_codes
    for index in range(1 + max(0, math.ceil((used - window) / step))):
        begin = min(index * step, len(codes) - window)
        fill = min(len(history) + index * step, len(codes) - step)
        trace.fine_windows.append({"begin": begin, "fill": fill})
        for book in range(known, books):
            end = min(used, begin + window) if book == books - 1 else begin + window
            inputs = {
                contract.CODES: codes[begin : begin + window][None],
                contract.CODEBOOK_INDEX: np.array(book),
                contract.FRAME_INDICES: np.arange(fill - begin, end - begin),
            }
            logits = session.run(None, inputs)[0][0]
            codes[fill:end, book] = choose_codes(logits, sampling, uniforms, margin)
    return codes[len(history) : used]


def say_samples(session: Any, codes: Tokens) -> Any:
    """Samples, float32 (n,), of codes (frames, codebooks)."""
    if not len(codes):
        return np.zeros(0, np.float32)
    return session.run(None, {contract.CODES: codes.T[None]})[0][0]
