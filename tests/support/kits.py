"""Conformance kits in tests: read, and compared."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

DEMO_KIT = Path(__file__).parents[1] / "golden" / "demo"
NOT_COMPARED = {"made_with", "closest", "sha256"}


def read_kit(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text("utf-8"))


def read_array(folder: Path, described: dict[str, Any]) -> Any:
    """The array of a description, as a port reads it."""
    dtype = np.dtype(described["dtype"]).newbyteorder("<")
    return np.frombuffer((folder / described["file"]).read_bytes(), dtype).reshape(
        described["shape"]
    )


def assert_kits_agree(found: Path, expected: Path, names: list[str]) -> None:
    """Check that two kits have the same values, as far as different machines can."""
    for name in names:
        compare(read_kit(found, name), read_kit(expected, name), (found, expected), name, None)


def compare(
    found: Any, expected: Any, folders: tuple[Path, Path], where: str, tolerance: float | None
) -> None:
    if isinstance(expected, dict) and "file" in expected:
        keys = ("name", "dtype", "shape", "file")
        assert [found[key] for key in keys] == [expected[key] for key in keys], where
        arrays = [read_array(*each) for each in zip(folders, (found, expected), strict=True)]
        np.testing.assert_allclose(
            *arrays, rtol=0, atol=expected.get("tolerance", 0), err_msg=where
        )
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        if where.endswith("/samples"):
            tolerance = expected["tolerance"]
        for key in expected.keys() - NOT_COMPARED:
            compare(found[key], expected[key], folders, f"{where}/{key}", tolerance)
    elif isinstance(expected, list) and expected and isinstance(expected[0], list | dict):
        assert len(found) == len(expected), where
        for index, pair in enumerate(zip(found, expected, strict=True)):
            compare(*pair, folders, f"{where}/{index}", tolerance)
    elif isinstance(expected, float) or (isinstance(expected, list) and is_float(expected)):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=tolerance or 0, err_msg=where)
    else:
        assert found == expected, where


def is_float(values: list[Any]) -> bool:
    return any(isinstance(value, float) for value in values)


@cache
def has_exact_int8_products() -> bool:
    """Whether int8 products are exact; on x86 without VNNI, sums of two saturate at 16 bits."""
    size = 64
    weights = helper.make_tensor("w", TensorProto.INT8, (size, 1), [127] * size)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, (1, size))],
        [helper.make_tensor_value_info("y", TensorProto.INT32, (1, 1))],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (product,) = session.run(None, {"x": np.full((1, size), 255, np.uint8)})
    return int(product[0, 0]) == 255 * 127 * size
