"""Parts of a kit that need no graph: texts, random numbers, rounding, sampling."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bark_onnx.export.golden.sampling import Margin, Uniforms, choose_codes, choose_token
from bark_onnx.export.golden.sampling import token_shares
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
_SUNO = {  # Suno's rates and windows
    "semantic_rate_hz": 49.9,
    "coarse_rate_hz": 75.0,
    "n_coarse_codebooks": 2,
    "max_coarse_history": 630,
}


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


def rounding_table() -> dict[str, Any]:
    """Numbers of coarse tokens and places of windows, with Suno's rates."""
    ratio = _SUNO["coarse_rate_hz"] / _SUNO["semantic_rate_hz"] * _SUNO["n_coarse_codebooks"]
    books = int(_SUNO["n_coarse_codebooks"])

    def single(count: int) -> int:
        product = np.float32(np.float32(count) * np.float32(ratio))
        return math.floor(product / np.float32(books)) * books

    counts = [count for count in range(2049) if single(count) != _double(count, ratio, books)]
    counts = sorted({*range(12), *counts[:20], 100, 255, 256, 499, 511, 768, 998, 1497})
    generated = range(0, 1800, 60)
    return {
        **_SUNO,
        "semantic_to_coarse_ratio": ratio,
        "max_semantic_history": math.floor(_SUNO["max_coarse_history"] / ratio),
        "coarse_tokens": [[count, single(count)] for count in counts],
        "window_positions": [[each, round(each / ratio)] for each in generated],
        "half_to_even": [[each, round(each)] for each in (0.5, 1.5, 2.5, 3.5, 4.5)],
    }


def _double(count: int, ratio: float, books: int) -> int:
    return math.floor(count * ratio / books) * books


def sampling_table() -> dict[str, Any]:
    """Tokens that sampling keeps and takes, for given logits and uniform numbers."""
    rng = np.random.default_rng(7)
    plain = np.round(rng.normal(0, 2, 12), 2).astype(np.float32)
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
        "logits": [float(str(each)) for each in logits],
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
        "logits": [float(str(each)) for each in logits],
        "temperature": temperature,
        "seed": uniforms.seed,
        "indices": choose_codes(rows, sampling, uniforms, Margin()).tolist(),
    }
