"""Sizes of the four sub-models that running their graphs requires."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CausalShape:
    """The semantic or the coarse transformer."""

    num_layers: int
    num_heads: int
    head_size: int
    context_length: int  # positions: prompt and generated tokens
    input_vocabulary: int  # rows of the embedding
    first_logit_id: int  # token id of logit 0; logit i belongs to id first_logit_id + i
    num_logits: int  # exported rows of the head


@dataclass(frozen=True)
class FineShape:
    """The fine transformer."""

    num_layers: int
    num_heads: int
    head_size: int
    context_length: int  # largest window in frames
    input_vocabulary: int  # rows of each codebook's embedding
    num_codebooks: int
    num_given_codebooks: int  # codebooks below this index have no head
    num_logits: int  # codes that can be predicted


@dataclass(frozen=True)
class CodecShape:
    """The EnCodec decoder."""

    num_codebooks: int
    codebook_size: int
    samples_per_frame: int
    sample_rate_hz: int


@dataclass(frozen=True)
class ModelShapes:
    """The sizes of all four sub-models."""

    semantic: CausalShape
    coarse: CausalShape
    fine: FineShape
    codec: CodecShape
