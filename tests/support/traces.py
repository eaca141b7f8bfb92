"""Graphs of the tracer, kept for the tests that export the same weights again."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx_ir as ir
from filelock import FileLock

from bark_onnx.export.trace import save_graph
from bark_onnx.graphs.contract import GraphContract

Tracer = Callable[[Any, GraphContract], ir.Model]


class KeptTraces:
    """A tracer that asks another one once for each module and its weights.

    Every pass that follows the tracer still runs in each export.

    Args:
        tracer: The tracer to ask.
        folder: Where graphs are kept; several processes may share it.
    """

    def __init__(self, tracer: Tracer, folder: Path) -> None:
        self._tracer, self._folder = tracer, folder

    def __call__(self, trace: Any, contract: GraphContract) -> ir.Model:
        path = self._folder / f"{_key(trace, contract)}.onnx"
        with FileLock(f"{path}.lock"):
            if not path.exists():
                graph = self._tracer(trace, contract)
                save_graph(graph, path)
            return ir.load(path)


def _key(trace: Any, contract: GraphContract) -> str:
    found = hashlib.sha256(contract.to_json().encode())
    found.update(f"{trace.module} {trace.dynamic_axes}".encode())
    for name, tensor in trace.module.state_dict().items():
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.detach().contiguous().numpy().tobytes())
    return found.hexdigest()
