"""Weights as 8-bit integers with a scale per column: one integer product for a whole prompt.

    y = MatMul(x, w) -> y = DynamicQuantizeMatMul(x, q, s)      with w[k, n] ~ q[n] * s[n]

Activations are quantised with one scale for all rows of a run, so a row's result depends on the
other rows: fit for prompts, which run alone, and not for steps of a batch.
"""

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import InPlacePass, PassResult

from bark_onnx.graphs.passes.weights import add_weight, constant_products, replace_node

_LARGEST = 127


class QuantizeDynamicPass(InPlacePass):
    """Quantise the weights of all products but the head's, and activations as they come."""

    def call(self, model: ir.Model) -> PassResult:
        """Replace each MatMul on its own."""
        products = constant_products(model, head=False)
        for product in products:
            scales = np.abs(product.weight).max(axis=0) / _LARGEST
            safe = np.where(scales == 0, 1, scales)
            # Signed: unsigned weights cost twice the time on processors with VNNI.
            integers = np.rint(product.weight / safe).astype(np.int8)
            fused = ir.node(
                "DynamicQuantizeMatMul",
                domain="com.microsoft",
                inputs=[
                    product.node.inputs[0],
                    add_weight(model, f"{product.name}.s8", integers),
                    add_weight(model, f"{product.name}.s8_scale", safe.astype(np.float32)),
                ],
                num_outputs=1,
            )
            replace_node(model, product.node, fused)
        return PassResult(model, modified=bool(products))
