"""Top logits of a graph: which they are, in each codebook, and values that are no numbers."""

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from bark_onnx.graphs.contract import CausalStage, graph_contract
from bark_onnx.graphs.passes.append_top_logits import AppendTopLogitsPass
from bark_onnx.graphs.top_logits import TOP_OUTPUTS
from tests.support.onnx_graphs import session_of
from tests.support.sizes import SHAPES

GRAPH = """
<ir_version: 10, opset_import: ["" : 23]>
main_graph (int64[batch, sequence] input_ids, float[batch, count] scores)
    => (float[batch, count] logits)
{
  logits = Identity (scores)
}
"""


def _append(model: ir.Model, stage: CausalStage) -> None:
    contract = graph_contract(stage, SHAPES, "fused", for_draws=True)
    assert AppendTopLogitsPass(contract, SHAPES)(model).modified


def _appended(stage: CausalStage) -> ir.Model:
    model = ir.from_onnx_text(GRAPH)
    _append(model, stage)
    return model


def _run(stage: CausalStage, logits: np.ndarray, last_ids: list[int]) -> dict[str, Any]:
    session = session_of(_appended(stage))
    ids = np.array([[5, last] for last in last_ids])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"input_ids": ids, "scores": logits}), strict=True))


def test_the_semantic_graph_returns_the_largest_logits_of_each_sequence():
    logits = np.random.default_rng(0).normal(0, 3, (3, 10_001)).astype(np.float32)
    found = _run("semantic", logits, [1, 2, 3])
    order = np.argsort(-logits, axis=1)[:, :64]
    np.testing.assert_array_equal(found["logits"], logits)
    np.testing.assert_array_equal(found["top_ids"], order)
    np.testing.assert_array_equal(found["top_logits"], np.take_along_axis(logits, order, 1))
    np.testing.assert_array_equal(found["end_logit"], logits[:, -1])
    exact = np.log(np.exp(logits.astype(np.float64)).sum(1))
    np.testing.assert_allclose(found["log_sum_exp"], exact, rtol=1e-6)


# Ids of coarse tokens begin at 10,000; 12,050 is the infer token.
@pytest.mark.parametrize(
    ("last", "codebook"), [(12_050, 0), (9_999, 0), (10_000, 1), (11_023, 1), (11_024, 0)]
)
def test_the_coarse_graph_chooses_from_the_codebook_that_follows_the_last_id(
    last: int, codebook: int
):
    logits = np.random.default_rng(0).normal(0, 3, (2, 2_096)).astype(np.float32)
    found = _run("coarse", logits, [last, 12_050])
    for row, book in ((0, codebook), (1, 0)):
        begin, end = ((0, 1024), (1024, 2_096))[book]
        order = begin + np.argsort(-logits[row, begin:end])[:64]
        np.testing.assert_array_equal(found["top_ids"][row], order)
        np.testing.assert_array_equal(found["top_logits"][row], logits[row, order])
    assert "end_logit" not in found


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("stage", ["semantic", "coarse"])
def test_the_sum_is_no_number_where_a_logit_is_none(stage: CausalStage, value: float):
    logits = np.zeros((2, 10_001 if stage == "semantic" else 2_096), np.float32)
    logits[1, 700] = value
    finite = np.isfinite(_run(stage, logits, [1, 2])["log_sum_exp"])
    assert finite.tolist() == [True, False]


def test_top_logits_are_not_appended_twice():
    with pytest.raises(ir.passes.PreconditionError, match=TOP_OUTPUTS[0]):
        _append(_appended("coarse"), "coarse")
