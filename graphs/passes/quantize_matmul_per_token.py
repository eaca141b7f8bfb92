"""Weights as 8-bit integers with one scale per column, activations with one scale per token.

    y = MatMul(x, w) -> m = ReduceMax(Abs(x))                                      of each token
                        i = QuantizeLinear(x / m, 1 / 127, 128)
                        y = MatMulIntegerToFloat(i, q, 1 / 127, s, 128) * m   with w[k, n] ~ q s[n]

Each token has its own scale, so its result does not depend on the other tokens of the run: suited
to decoding batches. The weights are those of `QuantizeMatMulPerTensorPass`, which is faster for a
single sequence.

A Gelu never returns less than -0.17, which would leave nearly half of the integers unused:

    y = MatMul(Gelu(z), w) -> x = Gelu(z) + 0.17
                              m = ReduceMax(x)
                              i = QuantizeLinear(x / m, 1 / 255, 0)
                              y = MatMulIntegerToFloat(i, q, 1 / 255, s, 0) * m - 0.17 sum(q s)
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes import InPlacePass, PassResult

from bark_onnx.graphs.passes._nodes import replace_node
from bark_onnx.graphs.passes._weights import (
    ConstantMatMul,
    QuantizedWeight,
    add_weight,
    find_constant_matmuls,
    quantize_columns,
)

GELU_MIN = -0.16998  # just below the minimum of a Gelu, -0.169971


@dataclass(frozen=True)
class _QuantRange:
    """Unsigned integers, as the fast kernels require for activations, for values up to 1."""

    steps: int  # from 0 to 1
    zero_point: int


_SIGNED = _QuantRange(steps=127, zero_point=128)
_NON_NEGATIVE = _QuantRange(steps=255, zero_point=0)


class QuantizeMatMulPerTokenPass(InPlacePass):
    """Quantize the weights of all products but the head's, and activations per token."""

    def call(self, model: ir.Model) -> PassResult:
        """Replace each MatMul separately."""
        products = find_constant_matmuls(model, head=False)
        rewrite = _Rewrite(model)
        for product in products:
            rewrite.replace(product)
        return PassResult(model, modified=bool(products))


class _Rewrite:
    """Replaces products by nodes that share a few constants."""

    def __init__(self, model: ir.Model) -> None:
        self._model = model
        self._shared: dict[str, ir.Value] = {}

    def replace(self, product: ConstantMatMul) -> None:
        """Replace one product."""
        source = product.node.inputs[0]
        if source is None:
            raise ir.passes.PreconditionError(f"{product.node.name} has no left side")
        tape = ir.tape.Tape()
        weight = quantize_columns(self._model, product)
        axis = self._constant("axis", np.array([-1]))
        producer = source.producer()
        if producer is not None and producer.op_type == "Gelu":
            shifted = tape.op("Add", [source, self._constant("shift", np.float32(-GELU_MIN))])
            largest = tape.op("ReduceMax", [shifted, axis])
            result = self._quantized_product(tape, weight, shifted, largest, _NON_NEGATIVE)
            tape.op("Sub", [result, self._zero_point_correction(product.name, weight)])
        else:
            largest = tape.op("ReduceMax", [tape.op("Abs", [source]), axis])
            self._quantized_product(tape, weight, source, largest, _SIGNED)
        replace_node(self._model, product.node, tape.nodes)

    def _quantized_product(
        self,
        tape: ir.tape.Tape,
        weight: QuantizedWeight,
        activations: ir.Value,
        largest: ir.Value,
        range_: _QuantRange,
    ) -> ir.Value:
        """Product of activations (..., rows) whose largest magnitudes are `largest` (..., 1)."""
        step = self._constant(f"step_{range_.steps}", np.float32(1 / range_.steps))
        zero = self._constant(f"zero_{range_.zero_point}", np.uint8(range_.zero_point))
        normalized = tape.op("Div", [activations, largest])
        integers = tape.op("QuantizeLinear", [normalized, step, zero])
        scaled = tape.op(
            "MatMulIntegerToFloat",
            [integers, weight.integers, step, weight.scales, zero],
            domain="com.microsoft",
        )
        return tape.op("Mul", [scaled, largest])

    def _zero_point_correction(self, name: str, weight: QuantizedWeight) -> ir.Value:
        """The part of the product that comes from shifting the activations by -GELU_MIN."""
        integers, scales = (np.asarray(part.const_value) for part in weight)
        sums = integers.astype(np.float64).sum(0) * scales * -GELU_MIN
        return add_weight(self._model, f"{name}.zero_point_correction", sums.astype(np.float32))

    def _constant(self, name: str, value: NDArray[np.generic] | np.generic) -> ir.Value:
        if name not in self._shared:
            self._shared[name] = add_weight(self._model, f"per_token.{name}", np.asarray(value))
        return self._shared[name]
