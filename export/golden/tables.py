"""Parts of a kit that need no graph: texts, random numbers, rounding, sampling."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bark_onnx.export.golden.sampling import (
    Margin,
    Uniforms,
    choose_codes,
    choose_token,
    token_shares,
)
from bark_onnx.export.session import Tokens
from bark_onnx.graphs.generation_config import Sampling

TEXTS = (
    "Hello! The weather is warm and sunny today.",
    "  white \t space\n is   not read ",
    "MR. O'NEILL doesn't agree -- does he?",
    "I have 12 dogs, 3.5 cats and $1,000.",
    "naïve café, Zoë",
    "nai\u0308ve cafe\u0301, Zoe\u0308",
    "Guten Abend, heute regnet es stark. Größe, Straße!",
    "¿Qué tal? ¡Mañana será otro día!",
    "Où est la gare, s'il vous plaît ?",
    "नमस्ते, आप कैसे हैं?",
    "Buongiorno, perché no?",
    "こんにちは、今日はいい天気ですね。",
    "안녕하세요, 만나서 반갑습니다.",
    "Zażółć gęślą jaźń.",
    "Olá, não sei o que dizer.",
    "Привет, как дела? Ёлка.",
    "Günaydın, İstanbul çok güzel. IĞDIR",
    "你好，今天天气很好。",
    "♪ la la la ♪ [laughs] ... — “quoted” ‘single’",
    "emoji 😀 and 👩‍👩‍👧, zero\u200bwidth, soft\u00adhyphen, nul\u0000byte",
    "[CLS] special [SEP] [UNK] [MASK] tokens",
    "x" * 101,
    "word " * 300,
)
SEEDS = (0, 1, 42, 2**32 - 1, 2**32, 2**53 - 1, 2**64 + 5, 2**130 + 7)
_UNIFORMS = 8
# Suno's rate of semantic tokens, and others for which the precision of the computation matters.
_SEMANTIC_RATES_HZ = (49.9, 49.95, 70.0)
_COARSE_RATE_HZ = 75.0
_CODEBOOKS = 2
_MAX_COARSE_HISTORY = 630


def text_table(encode: Callable[[str], Tokens]) -> list[dict[str, Any]]:
    """Texts with all their token ids, without offset, padding or truncation."""
    return [{"text": text, "ids": encode(text).tolist()} for text in TEXTS]


def random_table() -> list[dict[str, Any]]:
    """What numpy's SeedSequence and PCG64 make of seeds. Integers are hexadecimal."""
    table = []
    for seed in SEEDS:
        sequence = np.random.SeedSequence(seed)
        outputs = np.random.PCG64(np.random.SeedSequence(seed)).random_raw(_UNIFORMS)
        table.append(
            {
                "seed": str(seed),
                "state": [f"{word:016x}" for word in sequence.generate_state(4, np.uint64)],
                "outputs": [f"{word:016x}" for word in outputs],
                "uniforms": Uniforms(seed).take(_UNIFORMS).tolist(),
            }
        )
    return table


def segment_table() -> list[dict[str, Any]]:
    """Seeds of the segments of a long text."""
    return [
        {
            "seed": str(seed),
            "index": index,
            "attempt": attempt,
            "segment_seed": str(_segment_seed(seed, index, attempt)),
        }
        for seed in SEEDS
        for index, attempt in ((0, 0), (0, 1), (1, 0), (2, 3))
    ]


def _segment_seed(seed: int, index: int, attempt: int) -> int:
    if index == attempt == 0:
        return seed
    sequence = np.random.SeedSequence(seed, spawn_key=(index, attempt))
    return int(sequence.generate_state(1, np.uint64)[0]) >> 11


def rounding_table() -> list[dict[str, Any]]:
    """Numbers of coarse tokens and places of windows, for several rates."""
    return [_rounding_at(rate) for rate in _SEMANTIC_RATES_HZ]


def _rounding_at(semantic_rate_hz: float) -> dict[str, Any]:
    ratio = _COARSE_RATE_HZ / semantic_rate_hz * _CODEBOOKS

    def single(count: int) -> int:
        product = np.float32(np.float32(count) * np.float32(ratio))
        return math.floor(product / np.float32(_CODEBOOKS)) * _CODEBOOKS

    def double(count: int) -> int:
        return math.floor(count * ratio / _CODEBOOKS) * _CODEBOOKS

    different = [count for count in range(2049) if single(count) != double(count)]
    return {
        "semantic_rate_hz": semantic_rate_hz,
        "coarse_rate_hz": _COARSE_RATE_HZ,
        "n_coarse_codebooks": _CODEBOOKS,
        "max_coarse_history": _MAX_COARSE_HISTORY,
        "semantic_to_coarse_ratio": ratio,
        "max_semantic_history": math.floor(_MAX_COARSE_HISTORY / ratio),
        "coarse_tokens": [
            [count, single(count)] for count in sorted({*range(10), 256, 768, *different[:8]})
        ],
        "window_positions": [[each, round(each / ratio)] for each in range(0, 1800, 60)],
    }


def sampling_table() -> dict[str, Any]:
    """Tokens that sampling keeps and takes, for given logits and uniform numbers."""
    rng = np.random.default_rng(7)
    plain = (np.round(rng.normal(0, 2, 12) * 64) / 64).astype(np.float32)  # exact in JSON
    ties = np.array([1, 3, 2, 3, 0.5, 2, -1, 2], np.float32)
    tokens = [
        _token_row(logits, Sampling(True, temperature, top_k, top_p))
        for logits in (plain, ties)
        for temperature, top_k, top_p in (
            (1.0, 0, 1.0),
            (0.7, 0, 1.0),
            (1.3, 3, 1.0),
            (1.0, 0, 0.8),
            (0.7, 5, 0.6),
            (1.0, 1, 1.0),
            (1.0, 0, 1e-6),
            (1.0, 100, 1.0),
        )
    ]
    return {"tokens": tokens, "codes": [_code_row(plain, 0.5), _code_row(ties, 1.5)]}


def _token_row(logits: Any, sampling: Sampling) -> dict[str, Any]:
    uniforms = Uniforms(3)
    kept, shares = token_shares(logits, sampling)
    count = _UNIFORMS
    return {
        "logits": logits.tolist(),
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "kept": kept.tolist(),
        "probabilities": shares.tolist(),
        "seed": uniforms.seed,
        "indices": [choose_token(logits, sampling, uniforms, Margin()) for _ in range(count)],
    }


def _code_row(logits: Any, temperature: float) -> dict[str, Any]:
    uniforms = Uniforms(3)
    rows = np.tile(logits, (_UNIFORMS, 1))
    sampling = Sampling(True, temperature, 0, 1.0)
    return {
        "logits": logits.tolist(),
        "temperature": temperature,
        "seed": uniforms.seed,
        "indices": choose_codes(rows, sampling, uniforms, Margin()).tolist(),
    }
