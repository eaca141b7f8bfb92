"""Conversion to float16 on a small graph."""

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

from bark_onnx.graphs.errors import ExportError
from bark_onnx.graphs.passes.convert_to_float16 import ConvertToFloat16Pass

FULL = """
<ir_version: 10, opset_import: ["" : 23]>
full (int64[n] ids, float[4, m] past) => (float[n, m] logits, float[4, m] present)
<float[9, 4] table = {@}, float[4] scale = {1.5, -2.5, 0.25, 1e-9}>
{
  row = Gather (table, ids)
  shape = Constant <value = int64[2] {1, 4}> ()
  one = Constant <value = float[1] {1.0}> ()
  whole = Cast <to = 1> (ids)
  shifted = Add (row, one)
  normal = LayerNormalization <axis = -1> (shifted, scale)
  logits = MatMul (normal, past)
  present = Add (past, one)
}
""".replace("@", ", ".join(str(value / 8) for value in range(-18, 18)))


def test_converted_graph_computes_in_float16_and_returns_float32_logits():
    model = ir.from_proto(onnx.shape_inference.infer_shapes(onnx.parser.parse_model(FULL)))
    expected = _numbers(model, np.float32)
    assert ConvertToFloat16Pass()(model).modified
    types = {value.name: value.dtype for node in model.graph for value in node.outputs}
    assert types.pop("shape") == ir.DataType.INT64
    assert types.pop("logits") == ir.DataType.FLOAT
    assert set(types.values()) == {ir.DataType.FLOAT16}
    assert model.graph.inputs[1].dtype == model.graph.outputs[1].dtype == ir.DataType.FLOAT16
    assert [value.name for value in model.graph.outputs] == ["logits", "present"]
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    logits, present = _numbers(model, np.float16)
    assert (logits.dtype, present.dtype) == (np.float32, np.float16)
    np.testing.assert_allclose(logits, expected[0], atol=2e-2)
    assert not np.array_equal(logits, expected[0])
    assert not ConvertToFloat16Pass()(model).modified


def _numbers(model: ir.Model, dtype: type) -> list[np.ndarray]:
    content = ir.to_proto(model).SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    past = np.random.default_rng(0).standard_normal((4, 5)).astype(dtype)
    return session.run(None, {"ids": np.arange(9), "past": past})


def test_weight_beyond_float16_is_refused():
    model = ir.from_onnx_text(FULL.replace("scale = {1.5", "scale = {70000"))
    with pytest.raises(ExportError, match=r"scale: its largest value is 7e\+04.*65504.*fp16"):
        ConvertToFloat16Pass()(model)
