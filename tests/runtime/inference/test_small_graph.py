"""Graphs that are written without the package onnx are what it would write."""

import numpy as np
import onnx
from onnx import TensorProto, helper

from bark_onnx.runtime.inference.decoders.small_graph import Node, Tensor, small_graph


def test_a_small_graph_is_the_model_that_onnx_makes() -> None:
    names = [f"name_{number}" * 20 for number in range(2)]  # lengths of more than seven bits
    nodes = [
        Node("Gather", ["cache", "rows"], names),
        Node("Attend", names, ["y"], "com.microsoft", {"num_heads": 300, "zero": 0}),
    ]
    inputs = [Tensor("cache", np.float16, 4), Tensor("rows", np.int64, 1)]
    found = onnx.load_from_string(small_graph(nodes, inputs, [Tensor("y", np.float32, 0)]))

    def axes(name: str, rank: int) -> list[str]:
        return [f"{name}_{axis}" for axis in range(rank)]

    value = helper.make_tensor_value_info
    expected = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Gather", ["cache", "rows"], names),
                helper.make_node("Attend", names, ["y"], domain="com.microsoft", zero=0),
            ],
            "graph",
            [
                value("cache", TensorProto.FLOAT16, axes("cache", 4)),
                value("rows", TensorProto.INT64, axes("rows", 1)),
            ],
            [value("y", TensorProto.FLOAT, [])],
        ),
        opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)],
        ir_version=10,
    )
    expected.graph.node[1].attribute.insert(0, helper.make_attribute("num_heads", 300))
    expected.graph.node[0].domain = ""
    assert found == expected


def test_a_graph_of_standard_operators_passes_the_checker_of_onnx() -> None:
    tensors = [Tensor("cache", np.float32, 4), Tensor("rows", np.int64, 1)]
    model = small_graph(
        [Node("Gather", ["cache", "rows"], ["y"])], tensors, [Tensor("y", np.float32, 4)]
    )
    onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
