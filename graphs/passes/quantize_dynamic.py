"""Weights as 8-bit integers with a scale per column: one integer product for a whole prompt.

    y = MatMul(x, w) -> y = DynamicQuantizeMatMul(x, q, s)      with w[k, n] ~ q[n] * s[n]

Activations are quantised with one scale for all rows of a run, so a row's result depends on the
other rows: fit for prompts, which run alone, and not for steps of a batch (`QuantizeRowsPass`).
"""

import onnx_ir as ir
from onnx_ir.passes import InPlacePass, PassResult

from bark_onnx.graphs.passes.weights import columns_of_integers, constant_products, replace_node


class QuantizeDynamicPass(InPlacePass):
    """Quantise the weights of all products but the head's, and activations as they come."""

    def call(self, model: ir.Model) -> PassResult:
        """Replace each MatMul on its own."""
        products = constant_products(model, head=False)
        for product in products:
            fused = ir.node(
                "DynamicQuantizeMatMul",
                domain="com.microsoft",
                inputs=[product.node.inputs[0], *columns_of_integers(model, product)],
                num_outputs=1,
            )
            replace_node(model, product.node, fused)
        return PassResult(model, modified=bool(products))
