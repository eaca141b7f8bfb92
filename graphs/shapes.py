"""The sizes of the four sub-models, as far as whoever runs their graphs must know them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CausalShape:
    """The semantic or the coarse transformer."""

    num_layers: int
    num_heads: int
    head_size: int
    context_length: int  # positions, prompt and drawn tokens together
    input_vocabulary: int  # rows of the embedding
    first_logit_id: int  # token id of logit 0; logit i belongs to id first_logit_id + i
    num_logits: int  # rows of the head that were exported


@dataclass(frozen=True)
class FineShape:
    """The fine transformer."""

    num_layers: int
    num_heads: int
    head_size: int
    context_length: int  # frames of a window at most
    input_vocabulary: int  # rows of each codebook's embedding
    num_codebooks: int
    num_given_codebooks: int  # codebooks below this have no head
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
