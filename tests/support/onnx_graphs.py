"""ONNX graphs in tests: as text, in ONNX Runtime, and from bundles."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from onnx import numpy_helper


def structure(model: ir.Model) -> str:
    """A graph as text, without what passes do not set: names of nodes, and metadata."""
    proto = ir.to_proto(model)
    del proto.metadata_props[:]
    for node in proto.graph.node:
        node.name = ""
        node.attribute.sort(key=lambda attribute: attribute.name)
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.Clear()
    proto.graph.ClearField("value_info")
    opsets = sorted((opset.domain, opset.version) for opset in proto.opset_import)
    return f"{opsets}\n{onnx.printer.to_text(proto.graph)}"


def replaced(text: str, changes: dict[str, str]) -> str:
    """A graph's text after replacements, each of which must apply."""
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


def session_of(model: ir.Model) -> Any:
    """An ONNX Runtime session of a model in memory."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    content = ir.to_proto(model).SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def fp32_graph(bundle: Path, stage: str, *, weights: bool = False) -> onnx.ModelProto:
    return onnx.load(bundle / "fp32" / f"{stage}.onnx", load_external_data=weights)


def parameters_of(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """Initializers that hold parameters: floats of more than one value."""
    return [
        tensor
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and np.prod(tensor.dims) > 1
    ]


def change_one_value(tensor: onnx.TensorProto) -> None:
    array = numpy_helper.to_array(tensor).copy()
    array.flat[array.size // 2] *= 1.1
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
