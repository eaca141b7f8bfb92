"""Replaces Attention without cache or mask by the contrib operator with a flash kernel.

y = Attention(q, k, v) -> y = MultiHeadAttention(q, k, v)
"""

import onnx_ir as ir
from onnx_ir.passes import InPlacePass, PassResult

from bark_onnx.graphs.passes._attention import attention_nodes, check_plain
from bark_onnx.graphs.passes._nodes import replace_node


class FuseBidirectionalAttentionPass(InPlacePass):
    """Replace every Attention over all frames by MultiHeadAttention."""

    def requires(self, model: ir.Model) -> None:
        """Require Attention without a mask, a cache or a causal order."""
        for node in attention_nodes(model):
            check_plain(node, causal=False)
            if any(value is not None for value in node.inputs[4:]):
                raise ir.passes.PreconditionError(f"{node.name} has a cache")

    def call(self, model: ir.Model) -> PassResult:
        """Replace each Attention separately."""
        nodes = attention_nodes(model)
        for node in nodes:
            heads = node.attributes["q_num_heads"].as_int()
            fused = ir.node(
                "MultiHeadAttention",
                domain="com.microsoft",
                inputs=list(node.inputs[:3]),
                attributes={"num_heads": heads},
                num_outputs=1,
                name=node.name,
            )
            replace_node(model, node, [fused])
        return PassResult(model, modified=bool(nodes))
