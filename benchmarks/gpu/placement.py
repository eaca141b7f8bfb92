"""Where ONNX Runtime places the nodes of each graph: all on CUDA but numbers of shapes."""

from collections import Counter
from functools import partial
from typing import Any

from models import bundle_folder

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.contract import STAGES
from bark_onnx.runtime.inference.providers.cuda import CudaProvider
from gpu.bundles import SMALL
from gpu.day import Day, Notes
from gpu.opening import open_stage

# Operators on numbers of a shape, which are in the CPU's memory.
_ON_SHAPES = {"Mul", "Reshape", "Squeeze", "Shape", "Slice", "Gather", "Unsqueeze", "Concat"}


def run(day: Day, notes: Notes) -> None:
    """See the module."""
    for size in dict.fromkeys((SMALL, *day.sizes)):
        fused = Bundle(bundle_folder(size, ("fp32", "fp16")), verify=False)
        _place(fused, "fp16", f"{size}, fp16", notes)
    standard = Bundle(bundle_folder(SMALL, attention="standard"), verify=False)
    _place(standard, "fp32", f"{SMALL}, fp32, standard attention", notes)


def _place(bundle: Bundle, precision: str, name: str, notes: Notes) -> None:
    for stage in STAGES:
        replays = precision == "fp16" and stage in ("semantic", "coarse")
        session = notes.attempt(
            f"{name}, {stage}",
            partial(open_stage, bundle, stage, precision, CudaProvider(), replays_steps=replays),
        )
        if session is None:
            continue
        on_cuda, elsewhere = _operators(session)
        notes.add(f"{name}, {stage}: nodes on CUDA", sum(on_cuda.values()))
        copies = {op for op in on_cuda | elsewhere if "Memcpy" in op}
        notes.check(f"{name}, {stage}: nodes that copy", sorted(copies), [])
        others = {op: count for op, count in elsewhere.items() if op not in _ON_SHAPES}
        notes.check(f"{name}, {stage}: nodes elsewhere, but for shapes", others, {})


def _operators(session: Any) -> tuple[Counter[str], Counter[str]]:
    on_cuda: Counter[str] = Counter()
    elsewhere: Counter[str] = Counter()
    for part in session.get_provider_graph_assignment_info():
        counter = on_cuda if part.ep_name == "CUDAExecutionProvider" else elsewhere
        counter.update(node.op_type for node in part.get_nodes())
    return on_cuda, elsewhere
