"""Weights as 4- or 8-bit integers with one scale per block, multiplied in this form.

    y = MatMul(x, w) -> y = MatMulNBits(x, q, s)
    with w[k, n] ~ (q[n, k] - 2^(bits-1)) * s[n, k // block_size]

Activations are quantized per token and block (accuracy_level 4), so the result of a token does not
depend on the other tokens of the run.
"""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes import InPlacePass, PassResult

from bark_onnx.graphs.passes._nodes import replace_node
from bark_onnx.graphs.passes._weights import add_weight, find_constant_matmuls

# accuracy_level of integer arithmetic; without it the 8-bit kernel is 50 times slower.
_INTEGER_ACCURACY = 4


class QuantizeMatMulBlockwisePass(InPlacePass):
    """Quantize the weights of products with a constant matrix.

    Args:
        bits: 4 or 8.
        block_size: Rows of a matrix that share a scale, a power of two from 16.
        head: Whether to quantize the product that computes the logits, or all others.
    """

    def __init__(self, bits: int, block_size: int, *, head: bool) -> None:
        super().__init__()
        self.bits = bits
        self.block_size = block_size
        self.head = head

    def call(self, model: ir.Model) -> PassResult:
        """Replace each MatMul separately."""
        products = find_constant_matmuls(model, head=self.head)
        for product in products:
            integers, scales = quantize_blockwise(product.weight, self.bits, self.block_size)
            name = f"{product.name}.q{self.bits}"
            node = ir.node(
                "MatMulNBits",
                domain="com.microsoft",
                inputs=[
                    product.node.inputs[0],
                    add_weight(model, name, integers),
                    add_weight(model, f"{name}_scale", scales),
                ],
                attributes={
                    "K": product.weight.shape[0],
                    "N": product.weight.shape[1],
                    "bits": self.bits,
                    "block_size": self.block_size,
                    "accuracy_level": _INTEGER_ACCURACY,
                },
                num_outputs=1,
            )
            replace_node(model, product.node, [node])
        return PassResult(model, modified=bool(products))


def quantize_blockwise(
    weight: NDArray[np.float32], bits: int, block_size: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Quantize a matrix to the layout of MatMulNBits.

    Args:
        weight: Matrix (rows, columns).
        bits: 4 or 8.
        block_size: Rows that share a scale.

    Returns:
        Integers (columns, blocks, block_size * bits / 8) and scales (columns, blocks).
    """
    rows, columns = weight.shape
    blocks = -(-rows // block_size)
    padded = np.zeros((columns, blocks * block_size), np.float32)
    padded[:, :rows] = weight.T
    values = padded.reshape(columns, blocks, block_size)
    middle = 2 ** (bits - 1)
    # The value of largest magnitude maps to the end with the larger range, -middle.
    peaks = np.take_along_axis(values, np.abs(values).argmax(-1, keepdims=True), -1)
    scales = peaks / -middle
    inverse = np.divide(1, scales, out=np.zeros_like(scales), where=scales != 0)
    integers = np.clip(np.rint(values * inverse) + middle, 0, 2 * middle - 1).astype(np.uint8)
    if bits == 4:
        integers = integers[..., ::2] | integers[..., 1::2] << 4
    return integers, scales[..., 0].astype(np.float32)
