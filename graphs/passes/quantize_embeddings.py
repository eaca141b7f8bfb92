"""Large embedding tables as 8-bit integers with a scale per row: a fourth of the bytes.

y = Gather(w, ids) -> y = Cast(Gather(q, ids)) * Gather(s, ids)      with w[v] ~ q[v] * s[v]
"""

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import InPlacePass, PassResult

from bark_onnx.graphs.passes._weights import add_weight, replace_node

_LARGEST = 127


class QuantizeEmbeddingsPass(InPlacePass):
    """Quantise every table of rows that a Gather reads.

    Args:
        min_rows: smaller tables stay as they are.
    """

    def __init__(self, min_rows: int = 4096) -> None:
        super().__init__()
        self.min_rows = min_rows

    def call(self, model: ir.Model) -> PassResult:
        """Replace each Gather; those of one table go on sharing it."""
        tables: dict[str, tuple[ir.Value, ir.Value]] = {}
        nodes = [node for node in model.graph if self._reads_table(node)]
        for node in nodes:
            table, ids = node.inputs
            assert table is not None
            name = str(table.name)
            if name not in tables:
                tables[name] = _quantize(model, table)
            integers, scales = tables[name]
            rows = ir.node("Gather", [integers, ids], num_outputs=1)
            cast = ir.node("Cast", [rows.outputs[0]], {"to": ir.DataType.FLOAT}, num_outputs=1)
            scale = ir.node("Gather", [scales, ids], num_outputs=1)
            product = ir.node("Mul", [cast.outputs[0], scale.outputs[0]], num_outputs=1)
            model.graph.insert_before(node, [rows, cast, scale])
            replace_node(model, node, product)
        return PassResult(model, modified=bool(nodes))

    def _reads_table(self, node: ir.Node) -> bool:
        if node.op_type != "Gather" or node.inputs[0] is None:
            return False
        table = node.inputs[0].const_value
        if table is None or table.dtype != ir.DataType.FLOAT or len(table.shape) != 2:
            return False
        rows, columns = table.shape.numpy()
        return rows >= self.min_rows and columns > 1


def _quantize(model: ir.Model, table: ir.Value) -> tuple[ir.Value, ir.Value]:
    assert table.const_value is not None
    weight = np.asarray(table.const_value.numpy(), np.float32)
    scales = np.abs(weight).max(axis=1, keepdims=True) / _LARGEST
    safe = np.where(scales == 0, 1, scales)
    integers = np.rint(weight / safe).astype(np.int8)
    return (
        add_weight(model, f"{table.name}.s8", integers),
        add_weight(model, f"{table.name}.s8_scale", safe.astype(np.float32)),
    )
