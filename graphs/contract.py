"""The inputs and outputs of Bark's four graphs: the one place where their names are written.

The exporter names its graphs by this page and stores the contract in each graph's metadata; the
runtime checks it when it opens a session and binds by it; `bark-onnx info` prints it.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np

from bark_onnx.graphs.bundle.dataclass_json import SchemaError, from_json_dict
from bark_onnx.graphs.errors import ContractError
from bark_onnx.graphs.shapes import CausalShape, CodecShape, FineShape, ModelShapes

CONTRACT_VERSION = 1
METADATA_KEY = "bark_onnx.contract"

Stage = Literal["semantic", "coarse", "fine", "codec"]
CausalStage = Literal["semantic", "coarse"]
Attention = Literal["fused", "standard"]
STAGES: tuple[Stage, ...] = get_args(Stage)  # in the order in which sound is made
ATTENTIONS: tuple[Attention, ...] = get_args(Attention)

INPUT_IDS = "input_ids"
HISTORY_IDS = "history_ids"
POSITION_IDS = "position_ids"
SEQLENS_K = "seqlens_k"
TOTAL_SEQUENCE_LENGTH = "total_sequence_length"
LOGITS = "logits"
CODES = "codes"
CODEBOOK_INDEX = "codebook_index"
FRAME_INDICES = "frame_indices"
AUDIO = "audio"


def past_name(layer: int, part: str) -> str:
    """Name of the cache that goes in; `part` is "key" or "value"."""
    return f"past_key_values.{layer}.{part}"


def present_name(layer: int, part: str) -> str:
    """Name of the cache that comes out; `part` is "key" or "value"."""
    return f"present.{layer}.{part}"


CACHE_PARTS = ("key", "value")


@dataclass(frozen=True)
class TensorContract:
    """One input or output of a graph."""

    name: str
    dtype: str  # as numpy names it
    shape: tuple[int | str, ...]  # a string names an axis whose length is free
    meaning: str

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """`dtype` as numpy's object."""
        return np.dtype(self.dtype)

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class GraphContract:
    """All inputs and outputs of one graph, in order."""

    version: int
    stage: str
    attention: str
    inputs: tuple[TensorContract, ...]
    outputs: tuple[TensorContract, ...]

    def to_json(self) -> str:
        """The form stored in the graph's metadata under `METADATA_KEY`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str, where: str) -> "GraphContract":
        """Read what `to_json` wrote.

        Raises:
            ContractError: the text is no contract, or one of a later version; `where` names it.
        """
        try:
            data = json.loads(text)
            version = data.get("version") if isinstance(data, dict) else None
            if isinstance(version, int) and version > CONTRACT_VERSION:
                raise ContractError(
                    f"{where}: contract version {version}, expected at most {CONTRACT_VERSION}; "
                    "update bark-onnx"
                )
            return from_json_dict(cls, data, "contract")
        except (json.JSONDecodeError, SchemaError) as error:
            raise ContractError(f"{where}: not a contract: {error}; export it again") from error


def graph_contract(
    stage: Stage, shapes: ModelShapes, attention: Attention, *, float_dtype: str = "float32"
) -> GraphContract:
    """The contract of one stage's graph.

    Args:
        stage: which graph.
        shapes: the checkpoint's sizes.
        attention: "fused" (one in-place cache) or "standard" (a cache that grows).
        float_dtype: what the cache is stored in; logits and audio are always float32.
    """
    if stage == "fine":
        inputs, outputs = _fine_tensors(shapes.fine)
    elif stage == "codec":
        inputs, outputs = _codec_tensors(shapes.codec)
    else:
        shape = shapes.semantic if stage == "semantic" else shapes.coarse
        inputs, outputs = _causal_tensors(
            shape, attention, with_history=stage == "semantic", float_dtype=float_dtype
        )
    return GraphContract(CONTRACT_VERSION, stage, attention, inputs, outputs)


Tensors = tuple[tuple[TensorContract, ...], tuple[TensorContract, ...]]


def _causal_tensors(
    shape: CausalShape, attention: Attention, *, with_history: bool, float_dtype: str
) -> Tensors:
    tokens = ("batch", "sequence")
    inputs = [
        TensorContract(INPUT_IDS, "int64", tokens, f"token ids below {shape.input_vocabulary}")
    ]
    if with_history:
        none = shape.input_vocabulary
        inputs.append(
            TensorContract(
                HISTORY_IDS, "int64", tokens, f"ids whose embedding is added; {none} adds nothing"
            )
        )
    inputs.append(
        TensorContract(POSITION_IDS, "int64", tokens, f"positions below {shape.context_length}")
    )
    if attention == "fused":
        inputs += [
            TensorContract(SEQLENS_K, "int32", ("batch",), "tokens in each row after this run - 1"),
            TensorContract(TOTAL_SEQUENCE_LENGTH, "int32", (), "longest row after this run"),
        ]
        past_length, present_length = shape.context_length, shape.context_length
        past_meaning = "cache buffer; bind the same memory to the output of this layer and part"
        present_meaning = "the same buffer with this run's tokens written in"
        lengths: tuple[int | str, int | str] = (past_length, present_length)
    else:
        past_meaning = "cache so far; length 0 for a first prompt"
        present_meaning = "cache with this run's tokens appended"
        lengths = ("past", "past + sequence")
    outputs = [
        TensorContract(
            LOGITS,
            "float32",
            ("batch", shape.num_logits),
            f"scores of ids {shape.first_logit_id} onward after the last position",
        )
    ]
    for layer in range(shape.num_layers):
        for part in CACHE_PARTS:
            heads = ("batch", shape.num_heads)
            inputs.append(
                TensorContract(
                    past_name(layer, part),
                    float_dtype,
                    (*heads, lengths[0], shape.head_size),
                    past_meaning,
                )
            )
            outputs.append(
                TensorContract(
                    present_name(layer, part),
                    float_dtype,
                    (*heads, lengths[1], shape.head_size),
                    present_meaning,
                )
            )
    return tuple(inputs), tuple(outputs)


def _fine_tensors(shape: FineShape) -> Tensors:
    given, total = shape.num_given_codebooks, shape.num_codebooks
    inputs = (
        TensorContract(
            CODES,
            "int64",
            ("batch", "frames", total),
            f"codes; {shape.num_logits} where none is known yet",
        ),
        TensorContract(
            CODEBOOK_INDEX, "int64", (), f"codebook to predict, from {given} to {total - 1}"
        ),
        TensorContract(FRAME_INDICES, "int64", ("read_frames",), "frames whose logits are wanted"),
    )
    outputs = (
        TensorContract(
            LOGITS, "float32", ("batch", "read_frames", shape.num_logits), "scores of the codes"
        ),
    )
    return inputs, outputs


def _codec_tensors(shape: CodecShape) -> Tensors:
    inputs = (
        TensorContract(
            CODES,
            "int64",
            ("batch", shape.num_codebooks, "frames"),
            f"codes below {shape.codebook_size}",
        ),
    )
    outputs = (
        TensorContract(
            AUDIO,
            "float32",
            ("batch", f"{shape.samples_per_frame} * frames"),
            f"waveform at {shape.sample_rate_hz} Hz",
        ),
    )
    return inputs, outputs
