"""Weights as 8-bit integers with one scale per column, activations with one scale per run.

    y = MatMul(x, w) -> y = DynamicQuantizeMatMul(x, q, s)      with w[k, n] ~ q[n] * s[n]

The result of a token depends on the other tokens of the run: suited to prefill of one sequence and
to windows, not to batches (`QuantizeMatMulPerTokenPass`).
"""

import onnx_ir as ir
from onnx_ir.passes import InPlacePass, PassResult

from bark_onnx.graphs.passes._nodes import replace_node
from bark_onnx.graphs.passes._weights import find_constant_matmuls, quantize_columns


class QuantizeMatMulPerTensorPass(InPlacePass):
    """Quantize the weights of all products but the head's, and activations at run time."""

    def call(self, model: ir.Model) -> PassResult:
        """Replace each MatMul separately."""
        products = find_constant_matmuls(model, head=False)
        for product in products:
            node = ir.node(
                "DynamicQuantizeMatMul",
                domain="com.microsoft",
                inputs=[product.node.inputs[0], *quantize_columns(model, product)],
                num_outputs=1,
            )
            replace_node(model, product.node, [node])
        return PassResult(model, modified=bool(products))
