"""Eight-bit OpenVINO models: weights with a scale per output, activations with a scale per tensor.

The pattern is that of the quantization tool of OpenVINO, whose CPU plugin runs it on 8-bit kernels.
With 8-bit weights alone, prefills and the fine stage are slower than in bf16 (LOG.md).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import opset13

Feeds = Iterator[dict[str, NDArray[Any]]]  # inputs of runs

_LEVELS = 256
_TABLE_ROWS = 1024  # embeddings from here on are stored in 8 bits


def quantize(model: Any, feeds: Feeds) -> None:
    """Quantize weights, embeddings and the inputs of products to 8 bits, in place.

    Args:
        model: Model in float32.
        feeds: Inputs of the runs whose activations determine the scales.
    """
    ranges = _activation_ranges(model, feeds)
    for product, (low, high) in zip(_products(model), ranges, strict=True):
        attributes = product.get_attributes()
        weight = product.input_value(1).get_node().data
        rows = weight if attributes["transpose_b"] else weight.T
        values = opset13.fake_quantize(product.input_value(0), low, high, low, high, _LEVELS)
        replacement = opset13.matmul(values, _rounded(rows), attributes["transpose_a"], True)
        product.output(0).replace(replacement.output(0))
    for node in model.get_ops():
        if node.get_type_name() == "Gather":
            table = node.input_value(0).get_node()
            if _is_weight(table) and table.shape[0] >= _TABLE_ROWS:
                replacement = _looked_up(table.data, node.input_value(1), node.input_value(2))
                node.output(0).replace(replacement.output(0))
    model.validate_nodes_and_infer_types()


def _products(model: Any) -> list[Any]:
    return [
        node
        for node in model.get_ordered_ops()
        if node.get_type_name() == "MatMul" and _is_weight(node.input_value(1).get_node())
    ]


def _is_weight(node: Any) -> bool:
    return (
        node.get_type_name() == "Constant"
        and node.get_element_type() == openvino.Type.f32
        and len(node.shape) == 2
    )


def _activation_ranges(model: Any, feeds: Feeds) -> NDArray[np.float32]:
    """Smallest and largest input of each product, extended to 0, (products, 2)."""
    watched = model.clone()
    results = []
    for product in _products(watched):
        values = product.input_value(0)
        axes = np.arange(len(values.get_partial_shape()))
        results += [
            opset13.result(opset13.reduce_min(values, axes)),
            opset13.result(opset13.reduce_max(values, axes)),
        ]
    watched.add_results(results)
    compiled = openvino.Core().compile_model(watched, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    ports = compiled.outputs[-len(results) :]
    found = []
    for inputs in feeds:
        values = compiled.create_infer_request().infer(inputs)
        found.append([values[port].item() for port in ports])
    extremes = np.array(found, np.float32).reshape(len(found), -1, 2)
    low = np.minimum(extremes[..., 0].min(axis=0), 0)
    high = np.maximum(extremes[..., 1].max(axis=0), 0)
    return np.stack([low, high], axis=1)


def _rounded(rows: NDArray[np.float32]) -> Any:
    """Weights (rows, columns) as integers times one scale per row."""
    integers, scales = _integers(rows)
    return opset13.multiply(
        opset13.convert(opset13.constant(integers), "f32"), opset13.constant(scales)
    )


def _looked_up(table: NDArray[np.float32], input_ids: Any, axis: Any) -> Any:
    """Scaled rows of an integer table: OpenVINO would convert a scaled table as a whole."""
    integers, scales = _integers(table)
    rows = opset13.convert(opset13.gather(opset13.constant(integers), input_ids, axis), "f32")
    return opset13.multiply(rows, opset13.gather(opset13.constant(scales), input_ids, axis))


def _integers(rows: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    scales = np.abs(rows).max(axis=1, keepdims=True) / 127
    scales = np.where(scales == 0, 1, scales).astype(np.float32)
    return np.rint(rows / scales).astype(np.int8), scales
