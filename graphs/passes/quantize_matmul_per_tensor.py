"""Weights as 8-bit integers with a scale per column: one integer product for a whole prompt.

    y = MatMul(x, w) -> y = DynamicQuantizeMatMul(x, q, s)      with w[k, n] ~ q[n] * s[n]

Activations are quantised with one scale for all rows of a run, so a row's result depends on the
other rows: fit for prompts, which run alone, not for batches (`QuantizeMatMulPerTokenPass`).
"""

import onnx_ir as ir
from onnx_ir.passes import InPlacePass, PassResult

from bark_onnx.graphs.passes._weights import find_constant_matmuls, quantize_columns, replace_node


class QuantizeMatMulPerTensorPass(InPlacePass):
    """Quantise the weights of all products but the head's, and activations as they come."""

    def call(self, model: ir.Model) -> PassResult:
        """Replace each MatMul on its own."""
        products = find_constant_matmuls(model, head=False)
        for product in products:
            fused = ir.node(
                "DynamicQuantizeMatMul",
                domain="com.microsoft",
                inputs=[product.node.inputs[0], *quantize_columns(model, product)],
                num_outputs=1,
            )
            replace_node(model, product.node, fused)
        return PassResult(model, modified=bool(products))
