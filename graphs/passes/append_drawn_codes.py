"""Appends draws to the fine graph, so that a GPU returns codes and no logits.

    bounds = CumSum(Softmax(logits / temperature))
    drawn_codes = number of bounds that are at most uniform * last bound
    largest_codes = ArgMax(logits)

The rule is that of `sample_tokens`, with its types. `ApplyContractPass` sets the types and shapes
of inputs and outputs.
"""

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import InPlacePass, PassResult

from bark_onnx.graphs.contract import LOGITS
from bark_onnx.graphs.drawn_codes import (
    DRAW_INPUTS,
    DRAWN_CODES,
    LARGEST_CODES,
    NOT_FINITE,
    TEMPERATURES,
    UNIFORMS,
)
from bark_onnx.graphs.passes.appender import Appender


class AppendDrawnCodesPass(InPlacePass):
    """Append draws to a fine graph: two inputs, and codes as outputs."""

    def requires(self, model: ir.Model) -> None:
        """Require logits, and none of the inputs that are appended."""
        names = {value.name for value in (*model.graph.inputs, *model.graph.outputs)}
        if LOGITS not in names or names & {UNIFORMS, TEMPERATURES}:
            raise ir.passes.PreconditionError(f"inputs and outputs are {sorted(map(str, names))}")

    def call(self, model: ir.Model) -> PassResult:
        """Append the inputs and outputs of the contract."""
        (logits,) = (value for value in model.graph.outputs if value.name == LOGITS)
        given: dict[str, ir.Value] = {}
        for tensor in DRAW_INPUTS:
            dtype = ir.TensorType(ir.DataType.from_numpy(tensor.numpy_dtype))
            value = ir.Value(name=tensor.name, shape=ir.Shape(tensor.shape), type=dtype)
            given[tensor.name] = value
            model.graph.inputs.append(value)
        append = Appender(model)
        is_finite = _is_finite(append, logits)
        largest = append("ArgMax", logits, axis=-1, keepdims=0)[0]
        drawn = _draw(append, logits, given[UNIFORMS], given[TEMPERATURES])
        for name, codes in ((DRAWN_CODES, drawn), (LARGEST_CODES, largest)):
            (ids,) = append("Cast", codes, to=ir.DataType.INT32)
            (checked,) = append("Where", is_finite, ids, append.constant(NOT_FINITE, np.int32))
            checked.name = name
            model.graph.outputs.append(checked)
        return PassResult(model, modified=True)


def _draw(
    append: Appender, logits: ir.Value, uniforms: ir.Value, temperatures: ir.Value
) -> ir.Value:
    last = append.constant([-1], np.int64)
    (divisors,) = append("Unsqueeze", temperatures, append.constant([1, 2], np.int64))
    (scores,) = append("Div", logits, divisors)
    (probabilities,) = append("Softmax", scores, axis=-1)
    (terms,) = append("Cast", probabilities, to=ir.DataType.DOUBLE)
    (bounds,) = append("CumSum", terms, append.constant(-1, np.int64))
    (total,) = append("Gather", bounds, last, axis=-1)  # (batch, frames, 1)
    (columns,) = append("Unsqueeze", uniforms, last)
    (draws,) = append("Mul", columns, total)
    (is_passed,) = append("LessOrEqual", bounds, draws)
    (passed,) = append("Cast", is_passed, to=ir.DataType.INT32)
    (codes,) = append("ReduceSum", passed, last, keepdims=0)
    return codes


def _is_finite(append: Appender, logits: ir.Value) -> ir.Value:
    """Whether all logits of a frame are finite: zero times another one is not a number."""
    zero = append.constant(0, np.float32)
    (zeros,) = append("Mul", logits, zero)
    (total,) = append("ReduceSum", zeros, append.constant([-1], np.int64), keepdims=0)
    (is_zero,) = append("Equal", total, zero)
    return is_zero
