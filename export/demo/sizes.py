"""Sizes, rates and token ids of the demo's checkpoint."""

from typing import Any

RATE_HZ = 24_000
FRAME_SAMPLES = 320
FRAMES_PER_SECOND = RATE_HZ // FRAME_SAMPLES  # 75
TOKENS_PER_SECOND = 50  # semantic
CODEBOOK_SIZE = 512
NUM_CODEBOOKS = 8
NUM_COARSE = 2

UNVOICED = ("pau", "ch", "f", "hh", "k", "p", "s", "sh", "t", "th")
# fmt: off
VOICED = (
    "aa", "ae", "ah", "ao", "aw", "ax", "ay", "b", "d", "dh", "eh", "er", "ey", "g", "ih", "iy",
    "jh", "l", "m", "n", "ng", "ow", "oy", "r", "uh", "uw", "v", "w", "y", "z", "zh",
)
# fmt: on
THIRDS = 3  # parts of a phone
PITCH_LEVELS = 8  # of voiced phones, over a speaker's range
SEMANTIC_VOCABULARY = THIRDS * (len(UNVOICED) + len(VOICED) * PITCH_LEVELS)  # 774

TEXT_LENGTH = 128  # text tokens, and semantic tokens of a voice
MAX_SEMANTIC = 400  # 8 s
TEXT_TOKENS_PER_SECOND = 12.0
SEGMENT_SECONDS = 5.0  # longer ones are rare in training
COARSE_INPUT = 160  # semantic tokens of a window
COARSE_HISTORY = 240  # coarse tokens before those that a window generates
COARSE_WINDOW = 120  # coarse tokens that a window generates
FINE_INPUT = 256  # frames
FINE_HISTORY = 128

SEMANTIC_PAD = SEMANTIC_VOCABULARY  # also ends an utterance
TEXT_OFFSET = SEMANTIC_VOCABULARY + 2


def text_pad(vocabulary: int) -> int:
    """Id that fills the text, after the entries of the tokenizer."""
    return TEXT_OFFSET + vocabulary


def semantic_infer(vocabulary: int) -> int:
    """Id after which the semantic tokens begin."""
    return text_pad(vocabulary) + 1


COARSE_PAD = SEMANTIC_VOCABULARY + NUM_COARSE * CODEBOOK_SIZE
COARSE_INFER = COARSE_PAD + 1


def padded(ids: int) -> int:
    """A number of ids, rounded up to a multiple of 8."""
    return -(-ids // 8) * 8


COARSE_IDS = padded(COARSE_INFER + 1)
FINE_IDS = padded(CODEBOOK_SIZE + 1)

# Of the semantic and of the coarse model.
CAUSAL_MODEL: dict[str, Any] = {
    "num_layers": 5,
    "num_heads": 3,
    "hidden_size": 192,
    "dropout": 0.0,
    "bias": True,
}


def generation_config(vocabulary: int) -> dict[str, Any]:
    """Contents of generation_config.json."""
    sampling = {"do_sample": True, "top_k": 50, "top_p": 1.0}
    return {
        "_from_model_config": False,
        "model_type": "bark",
        "codebook_size": CODEBOOK_SIZE,
        "sample_rate": RATE_HZ,
        "text_tokens_per_second": TEXT_TOKENS_PER_SECOND,
        "segment_seconds": SEGMENT_SECONDS,
        "semantic_config": sampling
        | {
            "temperature": 0.3,
            "eos_token_id": SEMANTIC_PAD,
            "max_new_tokens": MAX_SEMANTIC,
            "text_encoding_offset": TEXT_OFFSET,
            "text_pad_token": text_pad(vocabulary),
            "semantic_infer_token": semantic_infer(vocabulary),
            "semantic_pad_token": SEMANTIC_PAD,
            "semantic_vocab_size": SEMANTIC_VOCABULARY,
            "max_input_semantic_length": TEXT_LENGTH,
            "semantic_rate_hz": float(TOKENS_PER_SECOND),
        },
        "coarse_acoustics_config": sampling
        | {
            "temperature": 0.3,
            "coarse_semantic_pad_token": COARSE_PAD,
            "coarse_infer_token": COARSE_INFER,
            "coarse_rate_hz": FRAMES_PER_SECOND,
            "n_coarse_codebooks": NUM_COARSE,
            "max_coarse_input_length": COARSE_INPUT,
            "max_coarse_history": COARSE_HISTORY,
            "sliding_window_len": COARSE_WINDOW,
        },
        "fine_acoustics_config": {
            "temperature": 0.5,
            "max_fine_history_length": FINE_HISTORY,
            "max_fine_input_length": FINE_INPUT,
            "n_fine_codebooks": NUM_CODEBOOKS,
        },
    }
