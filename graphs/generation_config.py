"""A checkpoint's generation_config: token ids, rates, window lengths and sampling defaults.

The export copies the values from the checkpoint. Field names are those of
transformers' `BarkSemanticGenerationConfig`, `BarkCoarseGenerationConfig` and
`BarkFineGenerationConfig`.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Sampling:
    """Sampling of a stage's tokens."""

    do_sample: bool  # False: the most probable token
    temperature: float  # divides the logits
    top_k: int  # keep this many tokens and ties of the last; 0 keeps all
    top_p: float  # keep the smallest set with at least this probability; 1.0 keeps all


@dataclass(frozen=True)
class SemanticSettings:
    """Text to semantic tokens."""

    sampling: Sampling
    max_new_tokens: int  # most tokens to generate, without the prompt
    text_encoding_offset: int  # added to the tokenizer's ids
    text_pad_token: int  # fills the text up to max_input_semantic_length
    semantic_pad_token: int  # fills the voice's history; generated, it ends the utterance
    semantic_infer_token: int  # last token of the prompt
    semantic_vocab_size: int  # ids below this are semantic tokens
    max_input_semantic_length: int  # text tokens in a prompt
    semantic_rate_hz: float  # semantic tokens per second of audio

    @property
    def prompt_length(self) -> int:
        """Positions in the prompt: the text, then the infer token."""
        return self.max_input_semantic_length + 1


@dataclass(frozen=True)
class CoarseSettings:
    """Semantic tokens to the first EnCodec codebooks."""

    sampling: Sampling
    coarse_semantic_pad_token: int  # fills the semantic part of a window's prompt
    coarse_infer_token: int  # between the semantic part and the coarse history
    coarse_rate_hz: float  # frames per second of audio
    n_coarse_codebooks: int  # tokens per frame
    max_coarse_input_length: int  # semantic tokens in a window's prompt
    max_coarse_history: int  # coarse tokens in a window's prompt
    sliding_window_len: int  # coarse tokens generated per window


@dataclass(frozen=True)
class FineSettings:
    """The first codebooks to all of them."""

    temperature: float  # 1.0: the most probable code; other values: sampled
    max_fine_history_length: int  # frames of a voice; also the stride of the window
    max_fine_input_length: int  # frames of a window
    n_fine_codebooks: int  # codebooks that the codec decodes


@dataclass(frozen=True)
class GenerationSettings:
    """The part of a checkpoint's generation_config that Bark's loops read."""

    semantic: SemanticSettings
    coarse: CoarseSettings
    fine: FineSettings
    codebook_size: int  # codes per codebook
    sample_rate_hz: int

    @property
    def semantic_to_coarse_ratio(self) -> float:
        """Coarse tokens per semantic token (150 / 49.9 in Suno's checkpoints)."""
        frames_per_token = self.coarse.coarse_rate_hz / self.semantic.semantic_rate_hz
        return frames_per_token * self.coarse.n_coarse_codebooks

    @property
    def max_semantic_history(self) -> int:
        """Most semantic tokens before the current one in a window's prompt."""
        return math.floor(self.coarse.max_coarse_history / self.semantic_to_coarse_ratio)
