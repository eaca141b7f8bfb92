"""A float32 graph in float16: weights, activations and cache.

x: float -> x: float16 everywhere, and logits -> Cast(logits, to=float) at the end

LayerNormalization goes on computing its statistics in float32 (its attribute stash_type).
"""

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import InPlacePass, PassResult

from bark_onnx.graphs.contract import LOGITS
from bark_onnx.graphs.errors import ExportError

_FULL, _HALF = ir.DataType.FLOAT, ir.DataType.FLOAT16


class ConvertToFloat16Pass(InPlacePass):
    """Store and compute everything in float16 but the logits that the graph gives."""

    def call(self, model: ir.Model) -> PassResult:
        """Rewrite constants, types and casts, then put a cast behind the logits.

        Raises:
            ExportError: a weight is too large for float16.
        """
        graph = model.graph
        nodes = [node for node in graph if not _widens_logits(node)]
        computed = [value for node in nodes for value in node.outputs]
        values = [*graph.inputs, *graph.initializers.values(), *computed]
        halved = [value for value in values if value.dtype == _FULL]
        for value in halved:
            value.dtype = _HALF
        for value in graph.initializers.values():
            tensor = value.const_value
            if tensor is not None and tensor.dtype == _FULL:
                value.const_value = _halved(tensor)
        for node in nodes:
            _halve_attributes(node)
        for index, value in enumerate(graph.outputs):
            if value.name == LOGITS and value.dtype == _HALF:
                graph.outputs[index] = _widened(graph, value)
        return PassResult(model, modified=bool(halved))


def _widens_logits(node: ir.Node) -> bool:
    """Whether it is the cast that this pass has put there."""
    source, target = node.inputs[0] if node.inputs else None, node.outputs[0]
    return (
        node.op_type == "Cast"
        and target.name == LOGITS
        and source is not None
        and source.dtype == _HALF
    )


def _halve_attributes(node: ir.Node) -> None:
    """Casts to float32 and constants of it."""
    target = node.attributes.get("to")
    if node.op_type == "Cast" and target is not None and target.value == _FULL:
        node.attributes["to"] = ir.AttrInt64("to", _HALF)
    for name, attribute in list(node.attributes.items()):
        if attribute.type == ir.AttributeType.TENSOR and attribute.value.dtype == _FULL:
            node.attributes[name] = ir.AttrTensor(name, _halved(attribute.value))


def _halved(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    array = np.asarray(tensor.numpy())
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    if np.isfinite(array).all() and not np.isfinite(half).all():
        raise ExportError(
            f"{tensor.name}: its largest value is {np.abs(array).max():.3g}, and float16 ends at "
            "65504; export without --precision fp16"
        )
    return ir.Tensor(half, name=tensor.name)


def _widened(graph: ir.Graph, value: ir.Value) -> ir.Value:
    """The value in float32, under its own name."""
    name, shape = value.name, value.shape
    value.name = f"{name}.half"
    cast = ir.node("Cast", [value], {"to": _FULL}, num_outputs=1)
    (widened,) = cast.outputs
    widened.name, widened.shape, widened.dtype = name, shape, _FULL
    graph.append(cast)
    return widened
