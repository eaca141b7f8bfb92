"""Weights as 8-bit integers with a scale per column, activations with a scale per row.

    y = MatMul(x, w) -> m = ReduceMax(Abs(x))                                      of each row
                        i = QuantizeLinear(x / m, 1 / 127, 128)
                        y = MatMulIntegerToFloat(i, q, 1 / 127, s, 128) * m   with w[k, n] ~ q s[n]

A row has a scale of its own, so its result does not depend on the others: fit for steps of a batch.
The weights are those of `QuantizeMatMulPerTensorPass`, which is faster for a single sequence.

What comes out of a Gelu is never below -0.17, so there nearly half of the integers would go unused:

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

from bark_onnx.graphs.passes._weights import (
    ConstantMatMul,
    QuantizedWeight,
    add_weight,
    find_constant_matmuls,
    quantize_columns,
    replace_node,
)

_BELOW_ZERO = 0.16998  # how far a Gelu goes: its least value is -0.169971


@dataclass(frozen=True)
class _Grid:
    """Unsigned integers, as the fast kernels want activations to be, for values up to 1."""

    steps: int  # to 1
    zero: int


_BOTH_SIGNS = _Grid(steps=127, zero=128)
_ONE_SIGN = _Grid(steps=255, zero=0)


class QuantizeMatMulPerTokenPass(InPlacePass):
    """Quantise the weights of all products but the head's, and activations row by row."""

    def call(self, model: ir.Model) -> PassResult:
        """Replace each MatMul on its own."""
        products = find_constant_matmuls(model, head=False)
        rewrite = _Rewrite(model)
        for product in products:
            rewrite.replace(product)
        return PassResult(model, modified=bool(products))


class _Rewrite:
    """Puts nodes in the place of products, which share a few constants."""

    def __init__(self, model: ir.Model) -> None:
        self._model = model
        self._shared: dict[str, ir.Value] = {}

    def replace(self, product: ConstantMatMul) -> None:
        """Replace one product."""
        source = product.node.inputs[0]
        if source is None:
            raise ir.passes.PreconditionError(f"{product.node.name} has no left side")
        made = _Chain()
        weight = quantize_columns(self._model, product)
        axis = self._constant("axis", np.array([-1]))
        producer = source.producer()
        if producer is not None and producer.op_type == "Gelu":
            below_zero = self._constant("below_zero", np.float32(_BELOW_ZERO))
            lifted = made.add("Add", source, below_zero)
            largest = made.add("ReduceMax", lifted, axis)
            mixed = self._mix(made, weight, lifted, largest, _ONE_SIGN)
            made.add("Sub", mixed, self._lift(product.name, weight))
        else:
            largest = made.add("ReduceMax", made.add("Abs", source), axis)
            self._mix(made, weight, source, largest, _BOTH_SIGNS)
        replace_node(self._model, product.node, *made.nodes)

    def _mix(
        self,
        made: "_Chain",
        weight: QuantizedWeight,
        rows: ir.Value,
        largest: ir.Value,
        grid: _Grid,
    ) -> ir.Value:
        """The product of rows with the largest value that each has."""
        step = self._constant(f"step_{grid.steps}", np.float32(1 / grid.steps))
        zero = self._constant(f"zero_{grid.zero}", np.uint8(grid.zero))
        integers = made.add("QuantizeLinear", made.add("Div", rows, largest), step, zero)
        scaled = made.add(
            "MatMulIntegerToFloat",
            *(integers, weight.integers, step, weight.scales, zero),
            domain="com.microsoft",
        )
        return made.add("Mul", scaled, largest)

    def _lift(self, name: str, weight: QuantizedWeight) -> ir.Value:
        """What lifting the rows adds to the product."""
        integers, scales = (np.asarray(part.const_value) for part in weight)
        sums = integers.astype(np.float64).sum(0) * scales * _BELOW_ZERO
        return add_weight(self._model, f"{name}.lift", sums.astype(np.float32))

    def _constant(self, name: str, value: NDArray[np.generic] | np.generic) -> ir.Value:
        if name not in self._shared:
            self._shared[name] = add_weight(self._model, f"rows.{name}", np.asarray(value))
        return self._shared[name]


class _Chain:
    """Nodes in order."""

    def __init__(self) -> None:
        self.nodes: list[ir.Node] = []

    def add(self, operator: str, *inputs: ir.Value, domain: str = "") -> ir.Value:
        """The one output of a new node."""
        node = ir.node(operator, inputs=list(inputs), domain=domain, num_outputs=1)
        self.nodes.append(node)
        return node.outputs[0]
