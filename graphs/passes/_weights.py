"""Finds constant matrices and quantizes them to 8 bits; shared by the quantizing passes."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bark_onnx.graphs.contract import LOGITS

_INT8_MAX = 127


@dataclass(frozen=True)
class ConstantMatMul:
    """A MatMul with a constant right side."""

    node: ir.Node
    name: str  # name of the weight
    weight: NDArray[np.float32]  # (rows, columns)


def find_constant_matmuls(model: ir.Model, *, head: bool) -> list[ConstantMatMul]:
    """Find each MatMul with a constant matrix on its right.

    Args:
        model: Model to search.
        head: Whether to return the product that computes the logits, or all others.
    """
    heads = _logits_producers(model)
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


def _logits_producers(model: ir.Model) -> set[ir.Node]:
    """The producer of the logits and, if it only drops an axis, the node before it."""
    found: set[ir.Node] = set()
    for value in model.graph.outputs:
        node = value.producer() if value.name == LOGITS else None
        while node is not None and node not in found:
            found.add(node)
            source = node.inputs[0]
            node = source.producer() if node.op_type == "Squeeze" and source is not None else None
    return found


def add_weight(model: ir.Model, name: str, array: NDArray[np.generic]) -> ir.Value:
    """Add a constant to the graph."""
    tensor = ir.tensor(np.asarray(array, order="C"), name=name)
    value = ir.Value(
        name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    model.graph.register_initializer(value)
    return value


class QuantizedWeight(NamedTuple):
    """An int8 matrix and its float32 scales as constants of a graph."""

    integers: ir.Value  # int8 (rows, columns)
    scales: ir.Value  # float32 (columns,) or (rows, 1)


def quantize_columns(model: ir.Model, product: ConstantMatMul) -> QuantizedWeight:
    """Quantize the weight of a product to 8 bits with one scale per column.

    The constants have the same names in every graph, so that graphs can share them.
    """
    integers, scales = _quantize(product.weight, axis=0)
    return _add_quantized(model, product.name, integers, scales[0])


def quantize_rows(model: ir.Model, table: ir.Value) -> QuantizedWeight:
    """Quantize a constant matrix to 8 bits with one scale per row."""
    assert table.const_value is not None
    weight = np.asarray(table.const_value.numpy(), np.float32)
    return _add_quantized(model, str(table.name), *_quantize(weight, axis=1))


def _quantize(
    weight: NDArray[np.float32], axis: int
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    scales = np.abs(weight).max(axis=axis, keepdims=True) / _INT8_MAX
    safe = np.where(scales == 0, 1, scales)
    # Signed: unsigned weights take twice the time on processors with VNNI.
    return np.rint(weight / safe).astype(np.int8), safe.astype(np.float32)


def _add_quantized(
    model: ir.Model, name: str, integers: NDArray[np.int8], scales: NDArray[np.float32]
) -> QuantizedWeight:
    return QuantizedWeight(
        add_weight(model, f"{name}.s8", integers), add_weight(model, f"{name}.s8_scale", scales)
    )
