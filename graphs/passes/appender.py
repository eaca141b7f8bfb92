"""Appender: nodes and constants behind those of a graph."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from bark_onnx.graphs.passes._weights import add_weight


class Appender:
    """Appends nodes and constants to a graph.

    Args:
        model: Model of the graph.
    """

    def __init__(self, model: ir.Model) -> None:
        self.model = model
        self._count = 0

    def __call__(
        self, operator: str, *inputs: ir.Value, num_outputs: int = 1, **attributes: Any
    ) -> Sequence[ir.Value]:
        """Append a node; its outputs."""
        node = ir.node(operator, inputs, attributes, num_outputs=num_outputs)
        for value in node.outputs:
            value.name = self._new_name()
        self.model.graph.append(node)
        return node.outputs

    def constant(self, value: Any, dtype: type[np.generic]) -> ir.Value:
        """A value that is part of the graph."""
        return add_weight(self.model, self._new_name(), np.array(value, dtype))

    def _new_name(self) -> str:
        self._count += 1
        return f"draw.{self._count}"
