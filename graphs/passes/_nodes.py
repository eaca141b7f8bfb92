"""Replaces nodes; shared by the passes."""

from collections.abc import Sequence

import onnx_ir as ir


def replace_node(model: ir.Model, old: ir.Node, new: Sequence[ir.Node]) -> None:
    """Replace a node by several; outputs of the last one take over those of `old`, by position."""
    outputs = list(new[-1].outputs)
    ir.convenience.replace_nodes_and_values(
        model.graph, old, [old], new, list(old.outputs[: len(outputs)]), outputs
    )
    for node in new:
        if node.domain:
            model.graph.opset_imports.setdefault(node.domain, 1)
