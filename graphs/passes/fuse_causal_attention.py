"""Replaces Attention over a growing cache by attention over one buffer, written in place.

    q, k, v = Split(x)
    y, present_k, present_v = Attention(q, k, v, , past_k, past_v, is_causal=1)
        -> y, present_k, present_v = GroupQueryAttention(x, , , past_k, past_v, seqlens_k, total)

The packed projection is already in GroupQueryAttention's order [queries | keys | values]. The cache
inputs and outputs become buffers of one length; the graph gains the inputs seqlens_k and
total_sequence_length. `ApplyContractPass` sets the types and shapes of inputs and outputs.
"""

import onnx_ir as ir
from onnx_ir.passes import InPlacePass, PassResult

from bark_onnx.graphs.contract import SEQLENS_K, TOTAL_SEQUENCE_LENGTH, GraphContract
from bark_onnx.graphs.passes._attention import attention_nodes, check_plain, packed_projection
from bark_onnx.graphs.passes._nodes import replace_node


class FuseCausalAttentionPass(InPlacePass):
    """Replace every cached Attention by GroupQueryAttention.

    Args:
        contract: Contract of the fused graph, which defines the order of its inputs.
    """

    def __init__(self, contract: GraphContract) -> None:
        super().__init__()
        self.contract = contract

    def requires(self, model: ir.Model) -> None:
        """Require causal Attention without a mask, over a cache and one packed projection."""
        for node in attention_nodes(model):
            check_plain(node, causal=True)
            packed_projection(node)
            if len(node.inputs) < 6 or node.inputs[4] is None or node.inputs[5] is None:
                raise ir.passes.PreconditionError(f"{node.name} has no cache")

    def call(self, model: ir.Model) -> PassResult:
        """Fuse, then set the inputs of the contract."""
        nodes = attention_nodes(model)
        if not nodes:
            return PassResult(model, modified=False)
        inputs = {value.name: value for value in model.graph.inputs}
        lengths = (ir.Value(name=SEQLENS_K), ir.Value(name=TOTAL_SEQUENCE_LENGTH))
        inputs |= {value.name: value for value in lengths}
        for node in nodes:
            _fuse(model, node, lengths)
        model.graph.inputs[:] = [inputs[tensor.name] for tensor in self.contract.inputs]
        return PassResult(model, modified=True)


def _fuse(model: ir.Model, node: ir.Node, lengths: tuple[ir.Value, ir.Value]) -> None:
    split, packed = packed_projection(node)
    heads = node.attributes["q_num_heads"].as_int()
    fused = ir.node(
        "GroupQueryAttention",
        domain="com.microsoft",
        inputs=[packed, None, None, node.inputs[4], node.inputs[5], *lengths],
        attributes={"num_heads": heads, "kv_num_heads": heads},
        num_outputs=3,
        name=node.name,
    )
    replace_node(model, node, [fused])
    if not any(value.uses() for value in split.outputs):
        model.graph.remove(split, safe=True)
