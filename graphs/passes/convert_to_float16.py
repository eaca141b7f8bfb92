"""Converts a float32 graph to float16: weights, activations and cache.

x: float -> x: float16 everywhere, and logits -> Cast(logits, to=float) at the end

LayerNormalization still computes its statistics in float32 (its attribute stash_type).
"""

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import InPlacePass, PassResult

from bark_onnx.graphs.contract import LOGITS
from bark_onnx.graphs.errors import ExportError

_FLOAT32, _FLOAT16 = ir.DataType.FLOAT, ir.DataType.FLOAT16


class ConvertToFloat16Pass(InPlacePass):
    """Store and compute everything in float16 except the returned logits."""

    def call(self, model: ir.Model) -> PassResult:
        """Rewrite constants, types and casts, then append a cast to the logits.

        Raises:
            ExportError: A weight is too large for float16.
        """
        graph = model.graph
        nodes = [node for node in graph if not _casts_logits(node)]
        computed = [value for node in nodes for value in node.outputs]
        values = [*graph.inputs, *graph.initializers.values(), *computed]
        converted = [value for value in values if value.dtype == _FLOAT32]
        for value in converted:
            value.dtype = _FLOAT16
        for value in graph.initializers.values():
            tensor = value.const_value
            if tensor is not None and tensor.dtype == _FLOAT32:
                value.const_value = _to_float16(tensor)
        for node in nodes:
            _convert_attributes(node)
        for index, value in enumerate(graph.outputs):
            if value.name == LOGITS and value.dtype == _FLOAT16:
                graph.outputs[index] = _append_cast(graph, value)
        return PassResult(model, modified=bool(converted))


def _casts_logits(node: ir.Node) -> bool:
    """Whether a node is the cast that this pass appends."""
    source, target = node.inputs[0] if node.inputs else None, node.outputs[0]
    return (
        node.op_type == "Cast"
        and target.name == LOGITS
        and source is not None
        and source.dtype == _FLOAT16
    )


def _convert_attributes(node: ir.Node) -> None:
    """Convert casts to float32 and float32 constants."""
    target = node.attributes.get("to")
    if node.op_type == "Cast" and target is not None and target.value == _FLOAT32:
        node.attributes["to"] = ir.AttrInt64("to", _FLOAT16)
    for name, attribute in list(node.attributes.items()):
        if attribute.type == ir.AttributeType.TENSOR and attribute.value.dtype == _FLOAT32:
            node.attributes[name] = ir.AttrTensor(name, _to_float16(attribute.value))


def _to_float16(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    array = np.asarray(tensor.numpy())
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    if np.isfinite(array).all() and not np.isfinite(half).all():
        raise ExportError(
            f"{tensor.name}: its largest value is {np.abs(array).max():.3g}, but float16 ends at "
            "65504; export without --precision fp16"
        )
    return ir.Tensor(half, name=tensor.name)


def _append_cast(graph: ir.Graph, value: ir.Value) -> ir.Value:
    """Append a cast that takes over the name of a value."""
    name, shape = value.name, value.shape
    value.name = f"{name}.half"
    cast = ir.node("Cast", [value], {"to": _FLOAT32}, num_outputs=1)
    (widened,) = cast.outputs
    widened.name, widened.shape, widened.dtype = name, shape, _FLOAT32
    graph.append(cast)
    return widened
