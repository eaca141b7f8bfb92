"""Passes, with each graph written out before and after, and run before and after."""

import re
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

from bark_onnx.graphs.contract import METADATA_KEY, GraphContract, TensorContract
from bark_onnx.graphs.errors import ExportError
from bark_onnx.graphs.passes.apply_contract import ApplyContractPass
from bark_onnx.graphs.passes.convert_to_float16 import ConvertToFloat16Pass
from bark_onnx.graphs.passes.fuse_bidirectional_attention import FuseBidirectionalAttentionPass
from bark_onnx.graphs.passes.fuse_causal_attention import FuseCausalAttentionPass

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
    """The fused causal graph of these pages, whose first input stands for the tokens."""
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


def _structure(model: ir.Model) -> str:
    """A graph as text, without what the passes leave to others: names of nodes, and metadata."""
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


def _changed(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


def _session(model: ir.Model) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    content = ir.to_proto(model).SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


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
    assert _structure(result.model) == _structure(ir.from_onnx_text(CAUSAL_FUSED))


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
    before, after = _session(ir.from_onnx_text(text)), _session(_fused(text, layers))
    x = rng.standard_normal((batch, sequence, 48), np.float32)
    names = [f"past_key_values.{i}.{part}" for i in range(layers) for part in ("key", "value")]
    caches = {name: rng.standard_normal((batch, 2, past, 8), np.float32) for name in names}
    expected = before.run(None, {"x": x, **caches})
    # What lies in a buffer beyond the valid length must not matter.
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
        "causal unsaid",
        "scale",
        "softcap",
        "order",
        "unpacked",
    ],
)
def test_causal_attention_is_refused_when_it_cannot_be_fused(changes: dict[str, str]):
    model = ir.from_onnx_text(_changed(CAUSAL, changes))
    before = _structure(model)
    with pytest.raises(ir.passes.PreconditionError):
        FuseCausalAttentionPass(_contract(1))(model)
    assert _structure(model) == before


def test_graph_stays_unchanged_when_the_second_attention_cannot_be_fused():
    model = ir.from_onnx_text(TWO_LAYERS.replace("(q1, k1, v1, ,", "(k1, q1, v1, ,"))
    before = _structure(model)
    with pytest.raises(ir.passes.PreconditionError):
        FuseCausalAttentionPass(_contract(2))(model)
    assert _structure(model) == before


def test_attention_over_all_frames_becomes_multi_head_attention():
    model = ir.from_onnx_text(BIDIRECTIONAL)
    result = FuseBidirectionalAttentionPass()(model)
    assert result.modified
    assert _structure(result.model) == _structure(ir.from_onnx_text(BIDIRECTIONAL_FUSED))


@pytest.mark.parametrize(("batch", "read", "frames"), [(1, 9, 9), (2, 3, 11), (1, 1, 1)])
def test_fused_bidirectional_attention_gives_the_same_numbers(batch, read, frames):
    rng = np.random.default_rng(read)
    model = ir.from_onnx_text(BIDIRECTIONAL)
    before = _session(model)
    FuseBidirectionalAttentionPass()(model)
    feeds = {
        "q": rng.standard_normal((batch, read, 16), np.float32),
        "k": rng.standard_normal((batch, frames, 16), np.float32),
        "v": rng.standard_normal((batch, frames, 16), np.float32),
    }
    (expected,), (found,) = before.run(None, feeds), _session(model).run(None, feeds)
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
    model = ir.from_onnx_text(_changed(BIDIRECTIONAL, changes))
    before = _structure(model)
    with pytest.raises(ir.passes.PreconditionError):
        FuseBidirectionalAttentionPass()(model)
    assert _structure(model) == before


@pytest.mark.parametrize(
    "rewrite", [FuseCausalAttentionPass(_contract(1)), FuseBidirectionalAttentionPass()]
)
def test_graph_stays_unchanged_without_attention(rewrite: ir.passes.PassBase):
    model = ir.from_onnx_text(NO_ATTENTION)
    result = rewrite(model)
    assert not result.modified
    assert _structure(model) == _structure(ir.from_onnx_text(NO_ATTENTION))


def test_fused_graph_stays_unchanged():
    model = ir.from_onnx_text(CAUSAL)
    FuseCausalAttentionPass(_contract(1))(model)
    before = _structure(model)
    assert not FuseCausalAttentionPass(_contract(1))(model).modified
    assert _structure(model) == before


TRACED = """
<ir_version: 10, opset_import: ["" : 21]>
main_graph (int64[s0, 8, s1] codes) => (float[s0, s1 * 320] audio)
<int64[1] axis = {1}>
{
  summed = ReduceSum <keepdims = 0> (codes, axis)
  audio = Cast <to = 1> (summed)
}
"""
CODEC = GraphContract(
    1,
    "codec",
    "fused",
    (TensorContract("codes", "int64", ("batch", 8, "frames"), "codes below 1024"),),
    (TensorContract("audio", "float32", ("batch", "320 * frames"), "waveform at 24000 Hz"),),
)


def _traced() -> ir.Model:
    """A graph as the tracer leaves it: its own axis names, and notes on every node."""
    text = TRACED.replace("s1 * 320", "length")
    model = ir.from_onnx_text(text)
    summed, audio = model.graph[0], model.graph[1]
    summed.outputs[0].shape = ir.Shape(["s0", "s1"])
    audio.outputs[0].shape = ir.Shape(["s0", "320*s1"])
    for node in model.graph:
        node.doc_string = "traced from a file of mine"
        node.metadata_props["pkg.torch.onnx.stack_trace"] = "File /home/me/model.py"
    model.graph.metadata_props["pkg.torch.export.graph_signature"] = "signature"
    return model


def test_labeled_graph_matches_its_contract():
    model = _traced()
    result = ApplyContractPass(CODEC)(model)
    assert result.modified
    assert model.graph.name == "bark_codec"
    for value, tensor in (
        (model.graph.inputs[0], CODEC.inputs[0]),
        (model.graph.outputs[0], CODEC.outputs[0]),
    ):
        axes = tuple(axis if isinstance(axis, int) else axis.value for axis in value.shape)
        assert axes == tensor.shape
        assert value.dtype.numpy() == tensor.numpy_dtype
        assert value.doc_string == tensor.meaning
    text = model.metadata_props[METADATA_KEY]
    assert GraphContract.from_json(text, "codec.onnx") == CODEC


def test_axes_inside_a_labeled_graph_have_the_names_of_the_contract():
    model = _traced()
    ApplyContractPass(CODEC)(model)
    assert str(model.graph[0].outputs[0].shape) == "[batch,frames]"


def test_labeled_graph_contains_nothing_of_the_tracer():
    model = _traced()
    ApplyContractPass(CODEC)(model)
    content = ir.to_proto(model).SerializeToString()
    for trace in (b"torch", b"/home/me", b"traced", b"signature"):
        assert trace not in content


def test_labeled_graph_gives_the_same_numbers():
    codes = np.random.default_rng(0).integers(0, 1024, (2, 8, 5))
    model = ir.from_onnx_text(TRACED.replace("s1 * 320", "s1"))
    (expected,) = _session(model).run(None, {"codes": codes})
    contract = GraphContract(
        1,
        "codec",
        "fused",
        CODEC.inputs,
        (TensorContract("audio", "float32", ("batch", "frames"), "waveform"),),
    )
    ApplyContractPass(contract)(model)
    (found,) = _session(model).run(None, {"codes": codes})
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("codes", "tokens", r"inputs are \['tokens'\], expected \['codes'\]"),
        ("audio", "sound", r"outputs are \['sound'\], expected \['audio'\]"),
        ("8, s1] codes)", "8, s1] codes, float[s0] extra)", r"inputs are \['codes', 'extra'\]"),
    ],
)
def test_graph_with_other_names_is_refused(old: str, new: str, words: str):
    text = TRACED.replace("s1 * 320", "length")
    assert old in text
    model = ir.from_onnx_text(text.replace(old, new))
    with pytest.raises(ir.passes.PreconditionError) as caught:
        ApplyContractPass(CODEC)(model)
    assert re.search(words, str(caught.value.__cause__ or caught.value))
    assert METADATA_KEY not in model.metadata_props


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
