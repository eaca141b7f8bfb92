"""Labels of traced graphs: types, axes, meanings and metadata of the contract."""

import re

import numpy as np
import onnx_ir as ir
import pytest

from bark_onnx.graphs.contract import METADATA_KEY, GraphContract
from bark_onnx.graphs.passes.apply_contract import ApplyContractPass
from bark_onnx.graphs.tensor_contract import TensorContract
from tests.support.onnx_graphs import session_of

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
    """A graph as traced, with the tracer's axis names and debugging information."""
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
    assert GraphContract.from_json(text, "codec.onnx").to_json() == CODEC.to_json()


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
    (expected,) = session_of(model).run(None, {"codes": codes})
    contract = GraphContract(
        1,
        "codec",
        "fused",
        CODEC.inputs,
        (TensorContract("audio", "float32", ("batch", "frames"), "waveform"),),
    )
    ApplyContractPass(contract)(model)
    (found,) = session_of(model).run(None, {"codes": codes})
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
