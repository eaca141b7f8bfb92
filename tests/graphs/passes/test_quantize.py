"""Quantizing passes on an embedding, a product and a head."""

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest

from bark_onnx.graphs.passes.quantize_embeddings import QuantizeEmbeddingsPass
from bark_onnx.graphs.passes.quantize_matmul_blockwise import (
    QuantizeMatMulBlockwisePass,
    quantize_blockwise,
)
from bark_onnx.graphs.passes.quantize_matmul_per_tensor import QuantizeMatMulPerTensorPass
from bark_onnx.graphs.passes.quantize_matmul_per_token import QuantizeMatMulPerTokenPass

ROWS, COLUMNS = 96, 160


MODEL = f"""
<ir_version: 10, opset_import: ["" : 23]>
bark_test (int64[batch, 1] ids) => (float[batch, {COLUMNS}] logits)
<float[8192, {ROWS}] table, float[{ROWS}, {ROWS}] inner, float[{ROWS}, {COLUMNS}] head>
{{
    row = Gather (table, ids)
    hidden = MatMul (row, inner)
    wide = MatMul (hidden, head)
    axes = Constant <value_ints = [1]> ()
    logits = Squeeze (wide, axes)
}}
"""


def graph(*, gelu: bool = False) -> ir.Model:
    """Embedding, product and head; with `gelu`, a Gelu before the product."""
    text = MODEL.replace("MatMul (row, inner)", "MatMul (bent, inner)") if gelu else MODEL
    model = ir.from_onnx_text(text.replace("    hidden", "    bent = Gelu (row)\n    hidden", gelu))
    rng = np.random.default_rng(0)
    for name, size in (("table", (8192, ROWS)), ("inner", (ROWS, ROWS)), ("head", (ROWS, COLUMNS))):
        value = model.graph.initializers.get(name)
        tensor = ir.tensor(rng.standard_normal(size).astype(np.float32), name=name)
        if value is None:
            value = next(v for node in model.graph for v in node.inputs if v and v.name == name)
            value.const_value = tensor
            model.graph.register_initializer(value)
        value.const_value = tensor
    return model


def run(model: ir.Model, ids: np.ndarray) -> np.ndarray:
    content = ir.to_proto(model).SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {"ids": ids})[0]


def distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


IDS = np.arange(0, 8192, 700)[:, None]


@pytest.mark.parametrize(
    ("passes", "operators", "error"),
    [
        ([QuantizeMatMulBlockwisePass(8, 32, head=False)], {"MatMulNBits": 1, "MatMul": 1}, 0.01),
        ([QuantizeMatMulBlockwisePass(8, 32, head=True)], {"MatMulNBits": 1, "MatMul": 1}, 0.01),
        ([QuantizeMatMulBlockwisePass(4, 32, head=False)], {"MatMulNBits": 1, "MatMul": 1}, 0.12),
        ([QuantizeMatMulPerTensorPass()], {"DynamicQuantizeMatMul": 1, "MatMul": 1}, 0.02),
        ([QuantizeMatMulPerTokenPass()], {"MatMulIntegerToFloat": 1, "MatMul": 1}, 0.02),
        ([QuantizeEmbeddingsPass()], {"Gather": 2, "MatMul": 2}, 0.01),
    ],
    ids=["8 bits", "8 bits head", "4 bits", "per tensor", "per token", "embeddings"],
)
def test_pass_replaces_its_operators_within_the_error(passes, operators, error):
    model = graph()
    expected = run(model, IDS)
    for rewrite in passes:
        assert rewrite(model).modified
        assert not rewrite(model).modified
    found = {name: sum(n.op_type == name for n in model.graph) for name in operators}
    assert found == operators
    assert 0 < distance(run(model, IDS), expected) < error


@pytest.mark.parametrize("block_size", [16, 32, 64])
def test_sequences_are_independent_with_8_bit_blocks(block_size: int):
    model = graph()
    QuantizeMatMulBlockwisePass(8, block_size, head=False)(model)
    QuantizeMatMulBlockwisePass(8, 32, head=True)(model)
    together = run(model, IDS)
    alone = np.concatenate([run(model, row[None]) for row in IDS])
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("gelu", [False, True])
def test_sequences_are_independent_with_scales_per_token(*, gelu: bool):
    model = graph(gelu=gelu)
    table = model.graph.initializers["table"].const_value.numpy()
    table[IDS[3]] = 0  # an all-zero token has no largest value
    table[IDS[4]] *= 1e4
    expected = run(model, IDS)
    QuantizeMatMulPerTokenPass()(model)
    together = run(model, IDS)
    alone = np.concatenate([run(model, row[None]) for row in IDS])
    np.testing.assert_array_equal(together, alone)
    for ours, theirs in zip(together, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=0.05 * np.abs(theirs).max() + 1e-3)


def test_output_of_a_gelu_uses_all_integers():
    errors = []
    for rewrite in (QuantizeMatMulPerTokenPass(), QuantizeMatMulPerTensorPass()):
        model = graph(gelu=True)
        expected = run(model, IDS[:1])
        rewrite(model)
        errors.append(distance(run(model, IDS[:1]), expected))
    assert errors[0] < errors[1] * 1.2


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("rows", [64, 96, 100])
def test_blocks_round_the_weight_to_half_a_step(bits: int, rows: int):
    weight = np.random.default_rng(rows).standard_normal((rows, 5)).astype(np.float32)
    weight[:, 3] = 0
    integers, scales = quantize_blockwise(weight, bits, 32)
    assert integers.shape == (5, -(-rows // 32), 32 * bits // 8)
    values = integers.astype(np.int64)
    if bits == 4:
        values = np.stack([values & 15, values >> 4], -1).reshape(*values.shape[:2], 32)
    restored = ((values - 2 ** (bits - 1)) * scales[..., None]).reshape(5, -1)[:, :rows].T
    step = np.repeat(np.abs(scales), 32, axis=1)[:, :rows].T
    # The range is one step shorter on the side opposite to the largest value.
    assert (np.abs(restored - weight) <= step * 1.001).all()
    assert np.median(np.abs(restored - weight) / np.maximum(step, 1e-9)) < 0.5
    np.testing.assert_array_equal(restored[:, 3], 0)
