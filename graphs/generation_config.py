"""A checkpoint's generation_config: token ids, rates, window lengths and sampling defaults.

Every number has a range, which the export checks in generation_config.json, and the runtime in
bark.json.

The export copies the values from the checkpoint. Field names are those of
transformers' `BarkSemanticGenerationConfig`, `BarkCoarseGenerationConfig` and
`BarkFineGenerationConfig`.
"""

import math
from dataclasses import dataclass
from typing import Annotated

from bark_onnx.graphs.ranges import Between
from bark_onnx.graphs.shapes import MAX_CONTEXT_LENGTH, CodebookCount, CodebookSize, SampleRate

# Logits are divided by it: below, the quotient overflows; above, all tokens are equally probable.
MIN_TEMPERATURE = 1e-6
MAX_TEMPERATURE = 1e6

_TokenId = Annotated[int, Between(0, 1 << 22)]
_Length = Annotated[int, Between(1, MAX_CONTEXT_LENGTH)]
_Rate = Annotated[float, Between(1.0, 1000.0)]

# The first article of the Universal Declaration of Human Rights, ten seconds of speech, has 36
# tokens of Suno's tokenizer in English, 40 to 50 in most languages and 64 in Hindi: the least, so
# that no segment is too long.
_TEXT_TOKENS_PER_SECOND = 3.6
_SEGMENT_SECONDS = 13.0  # Bark's own examples of longer segments lose their end


@dataclass(frozen=True)
class Sampling:
    """Sampling of a stage's tokens."""

    do_sample: bool  # False: the most probable token
    temperature: Annotated[float, Between(0.0, MAX_TEMPERATURE)]  # divides the logits
    top_k: Annotated[
        int, Between(0, 1 << 31)
    ]  # keep this many tokens and ties of the last; 0 keeps all
    # Keep the smallest set with at least this probability; 1.0 keeps all.
    top_p: Annotated[float, Between(0.0, 1.0, excludes_minimum=True)]


@dataclass(frozen=True)
class SemanticSettings:
    """Text to semantic tokens."""

    sampling: Sampling
    max_new_tokens: _Length  # most tokens to generate, without the prompt
    text_encoding_offset: _TokenId  # added to the tokenizer's ids
    text_pad_token: _TokenId  # fills the text up to max_input_semantic_length
    semantic_pad_token: _TokenId  # fills the voice's history; generated, it ends the utterance
    semantic_infer_token: _TokenId  # last token of the prompt
    semantic_vocab_size: Annotated[int, Between(1, 1 << 20)]  # ids below this are semantic tokens
    max_input_semantic_length: _Length  # text tokens in a prompt
    semantic_rate_hz: _Rate  # semantic tokens per second of audio

    @property
    def prompt_length(self) -> int:
        """Positions in the prompt: the text, then the infer token."""
        return self.max_input_semantic_length + 1

    @property
    def text_vocabulary(self) -> int:
        """Entries of the tokenizer, whose ids lie between the offset and the pad token."""
        return self.text_pad_token - self.text_encoding_offset


@dataclass(frozen=True)
class CoarseSettings:
    """Semantic tokens to the first EnCodec codebooks."""

    sampling: Sampling
    coarse_semantic_pad_token: _TokenId  # fills the semantic part of a window's prompt
    coarse_infer_token: _TokenId  # between the semantic part and the coarse history
    coarse_rate_hz: _Rate  # frames per second of audio
    n_coarse_codebooks: CodebookCount  # tokens per frame
    max_coarse_input_length: _Length  # semantic tokens in a window's prompt
    max_coarse_history: _Length  # coarse tokens in a window's prompt
    sliding_window_len: _Length  # coarse tokens generated per window


@dataclass(frozen=True)
class FineSettings:
    """The first codebooks to all of them."""

    # 1.0: the most probable code; other values: sampled.
    temperature: Annotated[float, Between(MIN_TEMPERATURE, MAX_TEMPERATURE)]
    max_fine_history_length: _Length  # frames of a voice; also the stride of the window
    max_fine_input_length: _Length  # frames of a window
    n_fine_codebooks: CodebookCount  # codebooks that the codec decodes


@dataclass(frozen=True)
class GenerationSettings:
    """The part of a checkpoint's generation_config that Bark's loops read."""

    semantic: SemanticSettings
    coarse: CoarseSettings
    fine: FineSettings
    codebook_size: CodebookSize  # codes per codebook
    sample_rate_hz: SampleRate
    # The defaults are those of Suno's tokenizer and training texts.
    text_tokens_per_second: Annotated[float, Between(0.1, 1000.0)] = _TEXT_TOKENS_PER_SECOND
    segment_seconds: Annotated[float, Between(1.0, 1000.0)] = _SEGMENT_SECONDS  # of a long text

    @property
    def semantic_to_coarse_ratio(self) -> float:
        """Coarse tokens per semantic token (150 / 49.9 in Suno's checkpoints)."""
        frames_per_token = self.coarse.coarse_rate_hz / self.semantic.semantic_rate_hz
        return frames_per_token * self.coarse.n_coarse_codebooks

    @property
    def max_semantic_history(self) -> int:
        """Most semantic tokens before the current one in a window's prompt."""
        return math.floor(self.coarse.max_coarse_history / self.semantic_to_coarse_ratio)
