"""Large embedding tables as 8-bit integers with one scale per row: a quarter of the bytes.

y = Gather(w, ids) -> y = Cast(Gather(q, ids)) * Gather(s, ids)      with w[v] ~ q[v] * s[v]
"""

import onnx_ir as ir
from onnx_ir.passes import InPlacePass, PassResult

from bark_onnx.graphs.passes._nodes import replace_node
from bark_onnx.graphs.passes._weights import QuantizedWeight, quantize_rows


class QuantizeEmbeddingsPass(InPlacePass):
    """Quantize every table of rows that a Gather reads.

    Args:
        min_rows: Size of the smallest table to quantize.
    """

    def __init__(self, min_rows: int = 4096) -> None:
        super().__init__()
        self.min_rows = min_rows

    def call(self, model: ir.Model) -> PassResult:
        """Replace each Gather; those of one table keep sharing it."""
        tables: dict[str, QuantizedWeight] = {}
        nodes = [node for node in model.graph if self._reads_table(node)]
        for node in nodes:
            table, ids = node.inputs
            assert table is not None
            name = str(table.name)
            if name not in tables:
                tables[name] = quantize_rows(model, table)
            tape = ir.tape.Tape()
            rows = tape.op("Gather", [tables[name].integers, ids])
            cast = tape.op("Cast", [rows], {"to": ir.DataType.FLOAT})
            tape.op("Mul", [cast, tape.op("Gather", [tables[name].scales, ids])])
            replace_node(model, node, tape.nodes)
        return PassResult(model, modified=bool(nodes))

    def _reads_table(self, node: ir.Node) -> bool:
        if node.op_type != "Gather" or node.inputs[0] is None:
            return False
        table = node.inputs[0].const_value
        if table is None or table.dtype != ir.DataType.FLOAT or len(table.shape) != 2:
            return False
        rows, columns = table.shape.numpy()
        return rows >= self.min_rows and columns > 1
