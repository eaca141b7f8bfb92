"""Inputs and outputs of Bark's four graphs, and their names; those of top logits are beside it.

The exporter names inputs and outputs by it and stores the contract in each graph's metadata; the
runtime compares it when it opens a session; `bark-onnx info` prints it.
"""

import json
from dataclasses import asdict, dataclass, replace
from typing import Literal, cast, get_args

from bark_onnx.graphs.drawn_codes import DRAW_INPUTS, DRAWN_TENSORS
from bark_onnx.graphs.errors import ContractError
from bark_onnx.graphs.files.dataclass_json import from_json_dict, parse_json, shown
from bark_onnx.graphs.shapes import CausalShape, CodecShape, FineShape, ModelShapes
from bark_onnx.graphs.tensor_contract import TensorContract
from bark_onnx.graphs.top_logits import top_tensors

CONTRACT_VERSION = 2  # of the graphs that are exported
# Fused graphs of version 1 fix the length of the cache buffer to that of the context.
OLDEST_CONTRACT_VERSION = 1
METADATA_KEY = "bark_onnx.contract"

Stage = Literal["semantic", "coarse", "fine", "codec"]
CausalStage = Literal["semantic", "coarse"]
Attention = Literal["fused", "standard"]
STAGES: tuple[Stage, ...] = get_args(Stage)  # in the order in which they run
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
    """Name of a cache input; `part` is "key" or "value"."""
    return f"past_key_values.{layer}.{part}"


def present_name(layer: int, part: str) -> str:
    """Name of a cache output; `part` is "key" or "value"."""
    return f"present.{layer}.{part}"


CACHE_PARTS = ("key", "value")
BUFFER_AXIS = "buffer"  # length of all cache buffers of a fused graph


@dataclass(frozen=True)
class GraphContract:
    """Inputs and outputs of one graph, in order."""

    version: int
    stage: str
    attention: str
    inputs: tuple[TensorContract, ...]
    outputs: tuple[TensorContract, ...]

    def to_json(self) -> str:
        """The form in the graph's metadata under `METADATA_KEY`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str, where: str) -> "GraphContract":
        """Read the form that `to_json` writes, stored at `where`.

        Raises:
            ContractError: The text is not a contract, or one of a later version.
        """
        try:
            data = parse_json(text)
            version = data.get("version") if isinstance(data, dict) else None
            if isinstance(version, int) and version > CONTRACT_VERSION:
                raise ContractError(
                    f"{where}: contract version {shown(version)}, expected at most "
                    f"{CONTRACT_VERSION}; update bark-onnx"
                )
            return from_json_dict(cls, data, "contract")
        except ValueError as error:
            raise ContractError(f"{where}: not a contract: {error}; export it again") from error


def graph_contract(
    stage: Stage,
    shapes: ModelShapes,
    attention: Attention,
    *,
    float_dtype: str = "float32",
    version: int = CONTRACT_VERSION,
    for_draws: bool = False,
) -> GraphContract:
    """Build the contract of one stage's graph.

    Args:
        stage: Stage of the graph.
        shapes: Sizes of the sub-models.
        attention: "fused" (one in-place cache) or "standard" (a cache that grows).
        float_dtype: Name of the cache's dtype; logits and audio are always float32.
        version: Version of the contract, which that of a bundle's graphs may precede.
        for_draws: Of the second graph of a stage, which also returns what a draw needs.
    """
    if stage == "fine":
        inputs, outputs = _fine_tensors(shapes.fine)
    elif stage == "codec":
        inputs, outputs = _codec_tensors(shapes.codec)
    else:
        shape = shapes.semantic if stage == "semantic" else shapes.coarse
        cache = _cache_tensors(shape, attention, float_dtype, version)
        inputs, outputs = _causal_tensors(shape, attention, cache, with_history=stage == "semantic")
    contract = GraphContract(version, stage, attention, inputs, outputs)
    return with_draws(contract, shapes) if for_draws else contract


def with_draws(contract: GraphContract, shapes: ModelShapes) -> GraphContract:
    """The contract of the second graph of a stage, which also returns what a draw needs."""
    inputs, outputs = contract.inputs, contract.outputs
    if contract.stage == "fine":
        return replace(contract, inputs=inputs + DRAW_INPUTS, outputs=outputs + DRAWN_TENSORS)
    stage = cast("CausalStage", contract.stage)
    return replace(contract, outputs=outputs + top_tensors(stage, shapes))


Tensors = tuple[tuple[TensorContract, ...], tuple[TensorContract, ...]]


def _causal_tensors(
    shape: CausalShape, attention: Attention, cache: Tensors, *, with_history: bool
) -> Tensors:
    tokens, unused = ("batch", "sequence"), shape.input_vocabulary
    inputs = [
        TensorContract(INPUT_IDS, "int64", tokens, f"token ids below {shape.input_vocabulary}")
    ]
    if with_history:
        meaning = f"ids whose embedding is added to that of input_ids; {unused} adds nothing"
        inputs.append(TensorContract(HISTORY_IDS, "int64", tokens, meaning))
    inputs.append(
        TensorContract(POSITION_IDS, "int64", tokens, f"positions below {shape.context_length}")
    )
    if attention == "fused":
        meaning = "tokens of each sequence after this run, minus 1"
        inputs.append(TensorContract(SEQLENS_K, "int32", ("batch",), meaning))
        meaning = "tokens of the longest sequence after this run"
        inputs.append(TensorContract(TOTAL_SEQUENCE_LENGTH, "int32", (), meaning))
    meaning = f"scores of the ids from {shape.first_logit_id} on, after the last position"
    logits = TensorContract(LOGITS, "float32", ("batch", shape.num_logits), meaning)
    past, present = cache
    return (*inputs, *past), (logits, *present)


def _cache_tensors(
    shape: CausalShape, attention: Attention, float_dtype: str, version: int
) -> Tensors:
    lengths: list[int | str]
    if attention == "fused":
        length = shape.context_length if version == 1 else BUFFER_AXIS
        lengths = [length, length]
        limits = f"from {TOTAL_SEQUENCE_LENGTH} to {shape.context_length}"
        free = "" if version == 1 else f" its length is free {limits}, and the same in all layers;"
        meanings = (
            f"cache buffer;{free} bind the same memory to the output of this layer and part",
            "the same buffer with the tokens of this run written into it",
        )
    else:
        lengths = ["past", "past + sequence"]
        meanings = (
            "cache of the previous runs; length 0 for the first",
            "cache with the tokens of this run appended",
        )
    past, present = (
        tuple(
            TensorContract(
                name(layer, part),
                float_dtype,
                ("batch", shape.num_heads, length, shape.head_size),
                meaning,
            )
            for layer in range(shape.num_layers)
            for part in CACHE_PARTS
        )
        for name, length, meaning in zip((past_name, present_name), lengths, meanings, strict=True)
    )
    return past, present


def _fine_tensors(shape: FineShape) -> Tensors:
    given, total = shape.num_given_codebooks, shape.num_codebooks
    codes = f"codes; {shape.num_logits} marks an unknown code"
    index = f"codebook to predict, from {given} to {total - 1}"
    frames = "frames whose logits are returned"
    inputs = (
        TensorContract(CODES, "int64", ("batch", "frames", total), codes),
        TensorContract(CODEBOOK_INDEX, "int64", (), index),
        TensorContract(FRAME_INDICES, "int64", ("read_frames",), frames),
    )
    read = ("batch", "read_frames", shape.num_logits)
    return inputs, (TensorContract(LOGITS, "float32", read, "scores of the codes"),)


def _codec_tensors(shape: CodecShape) -> Tensors:
    codes = ("batch", shape.num_codebooks, "frames")
    samples = ("batch", f"{shape.samples_per_frame} * frames")
    return (
        (TensorContract(CODES, "int64", codes, f"codes below {shape.codebook_size}"),),
        (TensorContract(AUDIO, "float32", samples, f"waveform at {shape.sample_rate_hz} Hz"),),
    )
