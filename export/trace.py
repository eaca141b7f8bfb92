"""Traces torch modules to ONNX graphs with dynamic axes, fuses attention, labels and saves them."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor, nn

from bark_onnx.export.checkpoints.checkpoint import Checkpoint
from bark_onnx.export.modules.causal import CausalGraph
from bark_onnx.export.modules.codec import CodecGraph
from bark_onnx.export.modules.fine import FineGraph
from bark_onnx.graphs.contract import Attention, GraphContract, Stage, graph_contract
from bark_onnx.graphs.passes.apply_contract import ApplyContractPass
from bark_onnx.graphs.passes.fuse_bidirectional_attention import FuseBidirectionalAttentionPass
from bark_onnx.graphs.passes.fuse_causal_attention import FuseCausalAttentionPass
from bark_onnx.graphs.shapes import CausalShape

OPSET = 23  # the first with Attention
CODEC_OPSET = 21  # CUDA has Elu up to here

_EXTERNAL_BYTES = 1024  # smaller constants stay in the graph, for shape inference

_DYNAMIC = torch.export.Dim.DYNAMIC


@dataclass(frozen=True)
class _TraceInputs:
    """A module with example inputs, which are distinct tensors: equal ones would be merged."""

    module: nn.Module
    inputs: tuple[Any, ...]
    dynamic_axes: tuple[Any, ...]


def trace_stage(
    checkpoint: Checkpoint, stage: Stage, model: nn.Module, attention: Attention
) -> ir.Model:
    """Trace the graph of one stage, with its contract in the metadata.

    Args:
        checkpoint: Checkpoint of the module, for the shapes.
        stage: Stage of the graph.
        model: The stage's transformers module; the weight norm of a codec is removed in place.
        attention: "fused" or "standard".
    """
    # Every graph is traced in the standard form, from which passes derive the fused one.
    graph = _run_tracer(
        _prepare(checkpoint, stage, model), graph_contract(stage, checkpoint.shapes, "standard")
    )
    contract = graph_contract(stage, checkpoint.shapes, attention)
    if attention == "fused" and stage == "fine":
        FuseBidirectionalAttentionPass()(graph)
    elif attention == "fused" and stage != "codec":
        FuseCausalAttentionPass(contract)(graph)
    ApplyContractPass(contract)(graph)
    return graph


def _run_tracer(trace: _TraceInputs, contract: GraphContract) -> ir.Model:
    with _quiet():
        program = torch.onnx.export(
            trace.module.eval(),
            trace.inputs,
            dynamo=True,
            dynamic_shapes=trace.dynamic_axes,
            input_names=[tensor.name for tensor in contract.inputs],
            output_names=[tensor.name for tensor in contract.outputs],
            opset_version=CODEC_OPSET if contract.stage == "codec" else OPSET,
            optimize=True,
            verbose=False,
        )
    assert program is not None
    graph: ir.Model = program.model
    return graph


def save_graph(graph: ir.Model, path: Path, *, shared: Path | None = None) -> None:
    """Write a graph, and its weights beside it in NAME.onnx.data.

    Args:
        graph: Graph to write.
        path: Path of the .onnx file.
        shared: Graph in the same folder; weights that both have are read from its data.
    """
    stored = {} if shared is None else ir.load(shared).graph.initializers
    own: list[tuple[ir.Value, ir.TensorProtocol]] = []
    for name, value in graph.graph.initializers.items():
        tensor = value.const_value
        if tensor is None or tensor.nbytes < _EXTERNAL_BYTES:
            continue
        other = stored[name].const_value if name in stored else None
        if other is not None and other.tobytes() == tensor.tobytes():
            value.const_value = other
        else:
            own.append((value, tensor))
    if own:
        external = ir.external_data.convert_tensors_to_external(
            [tensor for _, tensor in own], path.parent, f"{path.name}.data"
        )
        for (value, _), tensor in zip(own, external, strict=True):
            value.const_value = tensor
    ir.save(graph, path)


def _prepare(checkpoint: Checkpoint, stage: Stage, model: nn.Module) -> _TraceInputs:
    shapes = checkpoint.shapes
    if stage == "codec":
        codes = torch.zeros((2, shapes.codec.num_codebooks, 50), dtype=torch.long)
        return _TraceInputs(
            CodecGraph(model, shapes.codec), (codes,), ({0: _DYNAMIC, 2: _DYNAMIC},)
        )
    if stage == "fine":
        codes = torch.zeros((2, 16, shapes.fine.num_codebooks), dtype=torch.long)
        return _TraceInputs(
            FineGraph(model, shapes.fine),
            (codes, torch.tensor(3), torch.arange(5)),
            ({0: _DYNAMIC, 1: _DYNAMIC}, {}, {0: _DYNAMIC}),
        )
    shape = shapes.semantic if stage == "semantic" else shapes.coarse
    with_history = stage == "semantic"
    module = CausalGraph(model, shape, checkpoint.logit_ids(stage), with_history=with_history)
    return _TraceInputs(module, *_causal_examples(shape, with_history=with_history))


def _causal_examples(
    shape: CausalShape, *, with_history: bool
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    batch, sequence, past = 2, 5, 7

    def ids(first: int) -> Tensor:
        return torch.arange(first, first + batch * sequence).reshape(batch, sequence)

    size = (batch, shape.num_heads, past, shape.head_size)
    cache = [torch.zeros(size) for _ in range(2 * shape.num_layers)]
    tokens = {0: _DYNAMIC, 1: _DYNAMIC}
    inputs = (ids(0), ids(1) if with_history else None, ids(2), cache)
    axes = (
        tokens,
        tokens if with_history else None,
        tokens,
        [{0: _DYNAMIC, 2: _DYNAMIC}] * len(cache),
    )
    return inputs, axes


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the tracer, whose warnings concern torch and not the user's checkpoint."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.setLevel(level)
