"""Labels a traced graph with the types, axis names and meanings of its contract.

The contract itself is stored in the metadata. Axis names of the contract replace the tracer's
throughout the graph, and the tracer's debugging information is removed.
"""

import re

import onnx_ir as ir
from onnx_ir.passes import InPlacePass, PassResult

from bark_onnx.graphs.contract import METADATA_KEY, GraphContract
from bark_onnx.graphs.tensor_contract import TensorContract

_SYMBOL = re.compile(r"[A-Za-z_]\w*")


class ApplyContractPass(InPlacePass):
    """Label the inputs and outputs of a graph as in its contract.

    Args:
        contract: Contract of the graph.
    """

    def __init__(self, contract: GraphContract) -> None:
        super().__init__()
        self.contract = contract

    def requires(self, model: ir.Model) -> None:
        """Require the names of inputs and outputs of the contract, in its order."""
        for what, values, tensors in (
            ("inputs", model.graph.inputs, self.contract.inputs),
            ("outputs", model.graph.outputs, self.contract.outputs),
        ):
            found = [value.name for value in values]
            expected = [tensor.name for tensor in tensors]
            if found != expected:
                raise ir.passes.PreconditionError(f"{what} are {found}, expected {expected}")

    def call(self, model: ir.Model) -> PassResult:
        """Rename axes, set types, shapes and meanings, remove debugging information."""
        graph = model.graph
        pairs = [
            *zip(graph.inputs, self.contract.inputs, strict=True),
            *zip(graph.outputs, self.contract.outputs, strict=True),
        ]
        names = _axis_names(pairs)
        for node in graph:
            node.metadata_props.clear()
            node.doc_string = None
            for value in node.outputs:
                value.metadata_props.clear()
                if value.shape is not None:
                    value.shape = ir.Shape([_rename_axis(axis, names) for axis in value.shape])
        for value in graph.initializers.values():
            value.metadata_props.clear()
        for value, tensor in pairs:
            value.metadata_props.clear()
            value.dtype = ir.DataType.from_numpy(tensor.numpy_dtype)
            value.shape = ir.Shape(tensor.shape)
            value.doc_string = tensor.meaning
        graph.name = f"bark_{self.contract.stage}"
        graph.metadata_props.clear()
        model.metadata_props[METADATA_KEY] = self.contract.to_json()
        return PassResult(model, modified=True)


def _axis_names(pairs: list[tuple[ir.Value, TensorContract]]) -> dict[str, str]:
    """Names in the contract by the tracer's symbols."""
    names: dict[str, str] = {}
    for value, tensor in pairs:
        for axis, name in zip(value.shape or (), tensor.shape, strict=False):
            if isinstance(axis, ir.SymbolicDim) and axis.value and isinstance(name, str):
                names.setdefault(axis.value, name)
    return names


def _rename_axis(axis: int | ir.SymbolicDim, names: dict[str, str]) -> int | str | None:
    if isinstance(axis, int) or axis.value is None:
        return axis if isinstance(axis, int) else None
    return _SYMBOL.sub(lambda match: names.get(match.group(), match.group()), axis.value)
