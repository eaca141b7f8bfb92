"""Sizes of the four sub-models that running their graphs requires, with their ranges."""

from dataclasses import dataclass
from typing import Annotated

from bark_onnx.graphs.ranges import Between

# Far beyond every Bark checkpoint (24 layers, 16 heads of 64, 1024 positions, 129,600 ids), and
# small enough that a false number neither fills the memory nor takes forever.
MAX_CONTEXT_LENGTH = 16_384

CodebookCount = Annotated[int, Between(1, 64)]
CodebookSize = Annotated[int, Between(1, 1 << 16)]
SampleRate = Annotated[int, Between(8_000, 192_000)]

_Layers = Annotated[int, Between(1, 256)]
_Heads = Annotated[int, Between(1, 256)]
_HeadSize = Annotated[int, Between(1, 1024)]
_ContextLength = Annotated[int, Between(1, MAX_CONTEXT_LENGTH)]
_Ids = Annotated[int, Between(1, 1 << 22)]
_FirstId = Annotated[int, Between(0, 1 << 22)]


@dataclass(frozen=True)
class CausalShape:
    """The semantic or the coarse transformer."""

    num_layers: _Layers
    num_heads: _Heads
    head_size: _HeadSize
    context_length: _ContextLength  # positions: prompt and generated tokens
    input_vocabulary: _Ids  # rows of the embedding
    first_logit_id: _FirstId  # token id of logit 0; logit i belongs to id first_logit_id + i
    num_logits: _Ids  # exported rows of the head


@dataclass(frozen=True)
class FineShape:
    """The fine transformer."""

    num_layers: _Layers
    num_heads: _Heads
    head_size: _HeadSize
    context_length: _ContextLength  # largest window in frames
    input_vocabulary: _Ids  # rows of each codebook's embedding
    num_codebooks: CodebookCount
    num_given_codebooks: CodebookCount  # codebooks below this index have no head
    num_logits: _Ids  # codes that can be predicted


@dataclass(frozen=True)
class CodecShape:
    """The EnCodec decoder."""

    num_codebooks: CodebookCount
    codebook_size: CodebookSize
    samples_per_frame: Annotated[int, Between(1, 1 << 16)]
    sample_rate_hz: SampleRate


@dataclass(frozen=True)
class ModelShapes:
    """The sizes of all four sub-models."""

    semantic: CausalShape
    coarse: CausalShape
    fine: FineShape
    codec: CodecShape
