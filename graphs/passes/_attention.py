"""Finds and checks Attention nodes; shared by the attention passes."""

import onnx_ir as ir


def attention_nodes(model: ir.Model) -> list[ir.Node]:
    """The standard Attention operators of a graph, in order."""
    return [node for node in model.graph if node.op_type == "Attention" and node.domain == ""]


def check_plain(node: ir.Node, *, causal: bool) -> None:
    """Check that an Attention, causal or not, has no feature that the fused operators lack.

    Raises:
        PreconditionError: It has a mask, a scale, a cap, or another order.
    """
    found = node.attributes.get("is_causal")
    if (found is not None and found.as_int() == 1) != causal:
        raise ir.passes.PreconditionError(f"{node.name}: is_causal is not {int(causal)}")
    if len(node.inputs) > 3 and node.inputs[3] is not None:
        raise ir.passes.PreconditionError(f"{node.name} has a mask")
    for name in ("scale", "softcap"):
        if name in node.attributes and node.attributes[name].as_float() != 0:
            raise ir.passes.PreconditionError(f"{node.name} has its own {name}")


def packed_projection(node: ir.Node) -> tuple[ir.Node, ir.Value]:
    """The Split that produces an Attention's queries, keys and values, and its input.

    Raises:
        PreconditionError: They do not come from one Split, in this order.
    """
    split = node.inputs[0].producer() if node.inputs[0] is not None else None
    if split is None or split.op_type != "Split" or list(node.inputs[:3]) != list(split.outputs):
        raise ir.passes.PreconditionError(f"{node.name} does not read one packed projection")
    packed = split.inputs[0]
    assert packed is not None
    return split, packed
