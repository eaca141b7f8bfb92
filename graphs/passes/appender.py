"""Appender: nodes and constants behind those of a graph."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir


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
        name = self._new_name()
        array = np.array(value, dtype)
        tensor = ir.tensor(array, name=name)
        constant = ir.Value(
            name=name,
            shape=ir.Shape(array.shape),
            type=ir.TensorType(tensor.dtype),
            const_value=tensor,
        )
        self.model.graph.register_initializer(constant)
        return constant

    def _new_name(self) -> str:
        self._count += 1
        return f"draw.{self._count}"
