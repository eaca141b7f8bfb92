"""Codes that a fine graph draws: those of numpy, by the same rule, and what is not finite."""

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from bark_onnx.graphs.drawn_codes import UNIFORMS
from bark_onnx.graphs.passes.append_drawn_codes import AppendDrawnCodesPass
from bark_onnx.runtime.inference.sampling import sample_tokens
from tests.support.onnx_graphs import session_of

GRAPH = """
<ir_version: 10, opset_import: ["" : 23]>
main_graph (float[batch, frames, count] scores) => (float[batch, frames, count] logits)
{
  logits = Identity (scores)
}
"""
FRAMES, COUNT = 500, 1056


def _appended() -> ir.Model:
    model = ir.from_onnx_text(GRAPH)
    assert AppendDrawnCodesPass()(model).modified
    return model


def _run(logits: np.ndarray, uniforms: np.ndarray, temperatures: list[float]) -> dict[str, Any]:
    session = session_of(_appended())
    feeds = {
        "scores": logits,
        "uniforms": uniforms,
        "temperatures": np.array(temperatures, np.float32),
    }
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds), strict=True))


def test_codes_are_drawn_by_the_rule_of_numpy():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (3, FRAMES, COUNT)).astype(np.float32)
    uniforms, temperatures = rng.random((3, FRAMES)), [0.5, 1.0, 2.0]
    uniforms[:, 0], uniforms[:, 1] = 0, np.nextafter(1, 0)
    found = _run(logits, uniforms, temperatures)
    np.testing.assert_array_equal(found["logits"], logits)
    np.testing.assert_array_equal(found["largest_codes"], logits.argmax(-1))
    expected = [sample_tokens(*row) for row in zip(logits, temperatures, uniforms, strict=True)]
    np.testing.assert_array_equal(found["drawn_codes"], expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_frame_whose_logits_are_not_finite_has_no_code(value: float):
    logits = np.zeros((2, 3, COUNT), np.float32)
    logits[1, 2, 700] = value
    found = _run(logits, np.full((2, 3), 0.5), [1.0, 1.0])
    for name in ("drawn_codes", "largest_codes"):
        assert (found[name] == -1).tolist() == [[False] * 3, [False, False, True]]


def test_draws_are_not_appended_twice():
    with pytest.raises(ir.passes.PreconditionError, match=UNIFORMS):
        AppendDrawnCodesPass()(_appended())
