"""What the quantising passes share: finding constant matrices and putting others in their place."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bark_onnx.graphs.contract import LOGITS

_LARGEST = 127  # of an 8-bit integer, either sign


@dataclass(frozen=True)
class ConstantMatMul:
    """A MatMul whose right side is constant."""

    node: ir.Node
    name: str  # of the weight
    weight: NDArray[np.float32]  # (rows, columns)


def find_constant_matmuls(model: ir.Model, *, head: bool) -> list[ConstantMatMul]:
    """MatMuls with a constant matrix on their right: the one that makes the logits, or the others.

    Args:
        model: whose graph to search.
        head: which of the two.
    """
    heads = _producers_of_logits(model)
    products = []
    for node in model.graph:
        if node.op_type != "MatMul" or node.inputs[1] is None or (node in heads) != head:
            continue
        weight = node.inputs[1].const_value
        if weight is None or len(weight.shape) != 2:
            continue
        array = np.asarray(weight.numpy(), np.float32)
        products.append(ConstantMatMul(node, str(node.inputs[1].name), array))
    return products


def _producers_of_logits(model: ir.Model) -> set[ir.Node]:
    """The logits' producer and, where that only drops an axis, the one before it."""
    found: set[ir.Node] = set()
    for value in model.graph.outputs:
        node = value.producer() if value.name == LOGITS else None
        while node is not None and node not in found:
            found.add(node)
            source = node.inputs[0]
            node = source.producer() if node.op_type == "Squeeze" and source is not None else None
    return found


def add_weight(model: ir.Model, name: str, array: NDArray[np.generic]) -> ir.Value:
    """A new constant of the graph."""
    tensor = ir.tensor(np.ascontiguousarray(array), name=name)
    value = ir.Value(
        name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    model.graph.register_initializer(value)
    return value


class QuantizedWeight(NamedTuple):
    """A weight as constants of a graph."""

    integers: ir.Value  # int8 (rows, columns)
    scales: ir.Value  # float32 (columns,)


def quantize_columns(model: ir.Model, product: ConstantMatMul) -> QuantizedWeight:
    """A product's weight as 8-bit integers with a scale for each column.

    They have the same names in every graph, so that graphs can share them.
    """
    scales = np.abs(product.weight).max(axis=0) / _LARGEST
    safe = np.where(scales == 0, 1, scales)
    # Signed: unsigned weights cost twice the time on processors with VNNI.
    integers = np.rint(product.weight / safe).astype(np.int8)
    return QuantizedWeight(
        add_weight(model, f"{product.name}.s8", integers),
        add_weight(model, f"{product.name}.s8_scale", safe.astype(np.float32)),
    )


def replace_node(model: ir.Model, old: ir.Node, *new: ir.Node) -> None:
    """Put nodes, the last of which has one output, in the place of a node with one that counts."""
    ir.convenience.replace_nodes_and_values(
        model.graph, old, [old], list(new), list(old.outputs[:1]), list(new[-1].outputs)
    )
    for node in new:
        if node.domain:
            model.graph.opset_imports.setdefault(node.domain, 1)
