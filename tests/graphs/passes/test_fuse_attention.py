"""Attention passes: each graph as text, and its results, before and after."""

import numpy as np
import onnx_ir as ir
import pytest

from bark_onnx.graphs.contract import GraphContract
from bark_onnx.graphs.passes.apply_contract import ApplyContractPass
from bark_onnx.graphs.passes.fuse_bidirectional_attention import FuseBidirectionalAttentionPass
from bark_onnx.graphs.passes.fuse_causal_attention import FuseCausalAttentionPass
from bark_onnx.graphs.tensor_contract import TensorContract
from tests.support.onnx_graphs import replaced, session_of, structure

CONTEXT = 16  # positions in the fused graph's buffer


CAUSAL = """
<ir_version: 10, opset_import: ["" : 23]>
causal (float[batch, sequence, 48] x, float[batch, 2, past, 8] "past_key_values.0.key",
        float[batch, 2, past, 8] "past_key_values.0.value")
    => (float[batch, sequence, 16] logits, float[batch, 2, total, 8] "present.0.key",
        float[batch, 2, total, 8] "present.0.value")
{
  q, k, v = Split <axis = 2, num_outputs = 3> (x)
  logits, "present.0.key", "present.0.value" =
    Attention <is_causal = 1, q_num_heads = 2, kv_num_heads = 2>
    (q, k, v, , "past_key_values.0.key", "past_key_values.0.value")
}
"""


CAUSAL_FUSED = """
<ir_version: 10, opset_import: ["" : 23, "com.microsoft" : 1]>
causal (float[batch, sequence, 48] x, int32[batch] seqlens_k, int32 total_sequence_length,
        float[batch, 2, 16, 8] "past_key_values.0.key",
        float[batch, 2, 16, 8] "past_key_values.0.value")
    => (float[batch, sequence, 16] logits, float[batch, 2, 16, 8] "present.0.key",
        float[batch, 2, 16, 8] "present.0.value")
{
  logits, "present.0.key", "present.0.value" =
    com.microsoft.GroupQueryAttention <kv_num_heads = 2, num_heads = 2>
    (x, , , "past_key_values.0.key", "past_key_values.0.value", seqlens_k, total_sequence_length)
}
"""


TWO_LAYERS = """
<ir_version: 10, opset_import: ["" : 23]>
causal (float[batch, sequence, 48] x,
        float[batch, 2, past, 8] "past_key_values.0.key",
        float[batch, 2, past, 8] "past_key_values.0.value",
        float[batch, 2, past, 8] "past_key_values.1.key",
        float[batch, 2, past, 8] "past_key_values.1.value")
    => (float[batch, sequence, 16] logits,
        float[batch, 2, total, 8] "present.0.key", float[batch, 2, total, 8] "present.0.value",
        float[batch, 2, total, 8] "present.1.key", float[batch, 2, total, 8] "present.1.value")
{
  q0, k0, v0 = Split <axis = 2, num_outputs = 3> (x)
  y, "present.0.key", "present.0.value" =
    Attention <is_causal = 1, q_num_heads = 2, kv_num_heads = 2>
    (q0, k0, v0, , "past_key_values.0.key", "past_key_values.0.value")
  wide = Concat <axis = 2> (y, y, y)
  mixed = Mul (wide, x)
  q1, k1, v1 = Split <axis = 2, num_outputs = 3> (mixed)
  logits, "present.1.key", "present.1.value" =
    Attention <is_causal = 1, q_num_heads = 2, kv_num_heads = 2>
    (q1, k1, v1, , "past_key_values.1.key", "past_key_values.1.value")
}
"""


BIDIRECTIONAL = """
<ir_version: 10, opset_import: ["" : 23]>
fine (float[batch, read, 16] q, float[batch, frames, 16] k, float[batch, frames, 16] v)
    => (float[batch, read, 16] y)
{
  y = Attention <q_num_heads = 2, kv_num_heads = 2> (q, k, v)
}
"""


BIDIRECTIONAL_FUSED = """
<ir_version: 10, opset_import: ["" : 23, "com.microsoft" : 1]>
fine (float[batch, read, 16] q, float[batch, frames, 16] k, float[batch, frames, 16] v)
    => (float[batch, read, 16] y)
{
  y = com.microsoft.MultiHeadAttention <num_heads = 2> (q, k, v)
}
"""


NO_ATTENTION = """
<ir_version: 10, opset_import: ["" : 23]>
plain (float[batch, 8] x) => (float[batch, 8] y)
{
  y = Relu (x)
}
"""


def _contract(layers: int) -> GraphContract:
    """Contract of the fused causal graph, with a projection in place of the tokens."""
    cache = ("batch", 2, CONTEXT, 8)
    names = [f"{layer}.{part}" for layer in range(layers) for part in ("key", "value")]
    inputs = [
        TensorContract("x", "float32", ("batch", "sequence", 48), "a packed projection"),
        TensorContract("seqlens_k", "int32", ("batch",), "lengths - 1"),
        TensorContract("total_sequence_length", "int32", (), "longest"),
        *(TensorContract(f"past_key_values.{name}", "float32", cache, "cache") for name in names),
    ]
    outputs = [
        TensorContract("logits", "float32", ("batch", "sequence", 16), "what is attended to"),
        *(TensorContract(f"present.{name}", "float32", cache, "cache") for name in names),
    ]
    return GraphContract(1, "coarse", "fused", tuple(inputs), tuple(outputs))


def _fused(text: str, layers: int) -> ir.Model:
    model = ir.from_onnx_text(text)
    contract = _contract(layers)
    FuseCausalAttentionPass(contract)(model)
    ApplyContractPass(contract)(model)
    return model


def test_cached_attention_becomes_group_query_attention_on_the_packed_projection():
    model = ir.from_onnx_text(CAUSAL)
    result = FuseCausalAttentionPass(_contract(1))(model)
    assert result.modified
    assert structure(result.model) == structure(ir.from_onnx_text(CAUSAL_FUSED))


def test_every_layer_is_fused_and_reads_the_same_lengths():
    model = ir.from_onnx_text(TWO_LAYERS)
    FuseCausalAttentionPass(_contract(2))(model)
    assert [node.op_type for node in model.graph] == [
        "GroupQueryAttention",
        "Concat",
        "Mul",
        "GroupQueryAttention",
    ]
    assert [value.name for value in model.graph.inputs] == [
        tensor.name for tensor in _contract(2).inputs
    ]
    fused = [node for node in model.graph if node.op_type == "GroupQueryAttention"]
    assert fused[0].inputs[5:] == fused[1].inputs[5:]


@pytest.mark.parametrize(("text", "layers"), [(CAUSAL, 1), (TWO_LAYERS, 2)])
@pytest.mark.parametrize(
    ("batch", "past", "sequence"), [(1, 0, 7), (2, 0, 5), (1, 6, 1), (3, 9, 1), (1, 4, 8)]
)
def test_fused_causal_attention_gives_the_same_numbers(text, layers, batch, past, sequence):
    rng = np.random.default_rng(past)
    before, after = session_of(ir.from_onnx_text(text)), session_of(_fused(text, layers))
    x = rng.standard_normal((batch, sequence, 48), np.float32)
    names = [f"past_key_values.{i}.{part}" for i in range(layers) for part in ("key", "value")]
    caches = {name: rng.standard_normal((batch, 2, past, 8), np.float32) for name in names}
    expected = before.run(None, {"x": x, **caches})
    # Values in a buffer beyond its valid length must not matter.
    buffers = {name: np.full((batch, 2, CONTEXT, 8), np.nan, np.float32) for name in names}
    for name, buffer in buffers.items():
        buffer[:, :, :past] = caches[name]
    total = past + sequence
    found = after.run(
        None,
        {
            "x": x,
            "seqlens_k": np.full(batch, total - 1, np.int32),
            "total_sequence_length": np.array(total, np.int32),
            **buffers,
        },
    )
    np.testing.assert_allclose(found[0], expected[0], atol=1e-5)
    for ours, theirs in zip(found[1:], expected[1:], strict=True):
        np.testing.assert_allclose(ours[:, :, :total], theirs, atol=1e-5)


def test_projection_stays_when_it_has_another_use():
    text = CAUSAL.replace('logits, "present', 'y, "present').replace(
        "}\n", "  logits = Add (y, q)\n}\n"
    )
    model = ir.from_onnx_text(text)
    FuseCausalAttentionPass(_contract(1))(model)
    assert [node.op_type for node in model.graph] == ["Split", "GroupQueryAttention", "Add"]


@pytest.mark.parametrize(
    "changes",
    [
        {', , "past_key_values.0.key", "past_key_values.0.value")': ")"},
        {
            'value")\n    =>': 'value", bool[sequence, total] mask)\n    =>',
            "(q, k, v, ,": "(q, k, v, mask,",
        },
        {"is_causal = 1": "is_causal = 0"},
        {"is_causal = 1, ": ""},
        {"is_causal = 1": "is_causal = 1, scale = 0.25"},
        {"is_causal = 1": "is_causal = 1, softcap = 5.0"},
        {"(q, k, v, ,": "(k, q, v, ,"},
        {"(q, k, v, ,": "(x, k, v, ,"},
    ],
    ids=[
        "no cache",
        "mask",
        "not causal",
        "causal by default",
        "scale",
        "softcap",
        "order",
        "unpacked",
    ],
)
def test_causal_attention_is_refused_when_it_cannot_be_fused(changes: dict[str, str]):
    model = ir.from_onnx_text(replaced(CAUSAL, changes))
    before = structure(model)
    with pytest.raises(ir.passes.PreconditionError):
        FuseCausalAttentionPass(_contract(1))(model)
    assert structure(model) == before


def test_graph_stays_unchanged_when_the_second_attention_cannot_be_fused():
    model = ir.from_onnx_text(TWO_LAYERS.replace("(q1, k1, v1, ,", "(k1, q1, v1, ,"))
    before = structure(model)
    with pytest.raises(ir.passes.PreconditionError):
        FuseCausalAttentionPass(_contract(2))(model)
    assert structure(model) == before


def test_attention_over_all_frames_becomes_multi_head_attention():
    model = ir.from_onnx_text(BIDIRECTIONAL)
    result = FuseBidirectionalAttentionPass()(model)
    assert result.modified
    assert structure(result.model) == structure(ir.from_onnx_text(BIDIRECTIONAL_FUSED))


@pytest.mark.parametrize(("batch", "read", "frames"), [(1, 9, 9), (2, 3, 11), (1, 1, 1)])
def test_fused_bidirectional_attention_gives_the_same_numbers(batch, read, frames):
    rng = np.random.default_rng(read)
    model = ir.from_onnx_text(BIDIRECTIONAL)
    before = session_of(model)
    FuseBidirectionalAttentionPass()(model)
    feeds = {
        "q": rng.standard_normal((batch, read, 16), np.float32),
        "k": rng.standard_normal((batch, frames, 16), np.float32),
        "v": rng.standard_normal((batch, frames, 16), np.float32),
    }
    (expected,), (found,) = before.run(None, feeds), session_of(model).run(None, feeds)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"<q_num_heads": "<is_causal = 1, q_num_heads"},
        {"v)\n    =>": "v, bool[read, frames] mask)\n    =>", "(q, k, v)": "(q, k, v, mask)"},
        {"<q_num_heads": "<scale = 0.25, q_num_heads"},
        {"<q_num_heads": "<softcap = 5.0, q_num_heads"},
    ],
    ids=["causal", "mask", "scale", "softcap"],
)
def test_bidirectional_attention_is_refused_when_it_cannot_be_fused(changes: dict[str, str]):
    model = ir.from_onnx_text(replaced(BIDIRECTIONAL, changes))
    before = structure(model)
    with pytest.raises(ir.passes.PreconditionError):
        FuseBidirectionalAttentionPass()(model)
    assert structure(model) == before


@pytest.mark.parametrize(
    "rewrite", [FuseCausalAttentionPass(_contract(1)), FuseBidirectionalAttentionPass()]
)
def test_graph_stays_unchanged_without_attention(rewrite: ir.passes.PassBase):
    model = ir.from_onnx_text(NO_ATTENTION)
    result = rewrite(model)
    assert not result.modified
    assert structure(model) == structure(ir.from_onnx_text(NO_ATTENTION))


def test_fused_graph_stays_unchanged():
    model = ir.from_onnx_text(CAUSAL)
    FuseCausalAttentionPass(_contract(1))(model)
    before = structure(model)
    assert not FuseCausalAttentionPass(_contract(1))(model).modified
    assert structure(model) == before
