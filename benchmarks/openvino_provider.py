"""OpenVINO as a plug-in provider of ONNX Runtime beside its own CPU kernels, on the same graphs.

Runs of both alternate in one process, so that other programs slow both down. Needs
`pip install onnxruntime-ep-openvino`. Prints a table; the last line is one JSON object.
"""

import json
import statistics
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import click
import numpy as np
from machine import describe_machine, peak_megabytes
from models import bundle_folder, size_option
from numpy.typing import NDArray

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.contract import CODEBOOK_INDEX, CODES, FRAME_INDICES, Stage
from bark_onnx.graphs.onnxruntime import import_onnxruntime
from bark_onnx.runtime.inference.providers.placement import RECORD_PLACEMENT

Feeds = dict[str, NDArray[Any]]
_PLUGIN = "openvino"
_FRAMES = 512  # of a codec run
_CONTEXT = 400  # tokens in the cache of a step
CASES = ("codec", "fine", "prompt", "step")


@dataclass(frozen=True)
class Comparison:
    """A run of one graph on both."""

    case: str
    precision: str  # of OpenVINO's graph
    our_precision: str  # of ONNX Runtime's
    arithmetic: str  # of OpenVINO: f32 or bf16
    ours_ms: float
    openvino_ms: float
    ratio: float  # our time over OpenVINO's: above 1 OpenVINO is faster
    error: float  # distance of the results, over the size of ours
    elsewhere: dict[str, int]  # operators that OpenVINO leaves to ONNX Runtime
    peak_mb: float  # of the process so far


@click.command()
@size_option
@click.option("--case", "cases", type=click.Choice(CASES), multiple=True, default=CASES)
@click.option("--precision", default="fp32", show_default=True, help="Of the bundle's graphs.")
@click.option("--ours", help="Precision of ONNX Runtime's graphs. Default: the same.")
@click.option("--arithmetic", type=click.Choice(("f32", "bf16")), default="f32")
@click.option("--repeats", type=int, default=7, show_default=True)
@click.option("--threads", type=int, default=2, show_default=True)
def main(
    size: str,
    cases: tuple[str, ...],
    precision: str,
    ours: str | None,
    arithmetic: str,
    repeats: int,
    threads: int,
) -> None:
    """Compare the runs of graphs in turn."""
    ours = ours or precision
    bundle = Bundle(bundle_folder(size, (precision, ours)), verify=False)
    device = _openvino_device()
    found = []
    for case in cases:
        sessions = (
            _session(_path(bundle, ours, case), threads),
            _session(_path(bundle, precision, case), threads, device=device, arithmetic=arithmetic),
        )
        names = (case, precision, ours, arithmetic)
        found.append(_compare(names, sessions, _feeds(bundle, case), repeats))
        click.echo(
            f"{case:<6} ours in {ours} {found[-1].ours_ms:.1f} ms, OpenVINO {precision} in "
            f"{arithmetic} {found[-1].openvino_ms:.1f} ms, ratio {found[-1].ratio:.2f}, error "
            f"{found[-1].error:.1e}, elsewhere {found[-1].elsewhere}"
        )
    rows = [asdict(each) for each in found]
    click.echo(json.dumps({"machine": describe_machine(), "size": size, "rows": rows}))


def _path(bundle: Bundle, precision: str, case: str) -> str:
    stages: dict[str, Stage] = {"codec": "codec", "fine": "fine"}
    stage = stages.get(case, "coarse")
    prefill = bundle.prefill_graph(precision, stage) if case == "prompt" else None
    return str(prefill or bundle.graph(precision, stage))


def _compare(
    names: tuple[str, str, str, str], sessions: tuple[Any, Any], feeds: Feeds, repeats: int
) -> Comparison:
    case, precision, our_precision, arithmetic = names
    theirs = sessions[1]
    expected, found = (session.run(None, feeds)[0] for session in sessions)  # warms up
    times: dict[int, list[float]] = {0: [], 1: []}
    for _ in range(repeats):
        for index, session in enumerate(sessions):
            started = time.perf_counter()
            session.run(None, feeds)
            times[index].append(time.perf_counter() - started)
    our_ms, their_ms = (statistics.median(each) * 1e3 for each in times.values())
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    elsewhere = Counter(
        node.op_type
        for part in theirs.get_provider_graph_assignment_info()
        if part.ep_name != "OpenVINOExecutionProvider"
        for node in part.get_nodes()
    )
    return Comparison(
        case=case,
        precision=precision,
        our_precision=our_precision,
        arithmetic=arithmetic,
        ours_ms=our_ms,
        openvino_ms=their_ms,
        ratio=our_ms / their_ms,
        error=float(error),
        elsewhere=dict(elsewhere),
        peak_mb=peak_megabytes(),
    )


def _openvino_device() -> Any:
    try:
        import onnxruntime_ep_openvino as plugin
    except ModuleNotFoundError as error:
        raise SystemExit(f"Error: {error}; pip install onnxruntime-ep-openvino") from error
    onnxruntime = import_onnxruntime()
    onnxruntime.register_execution_provider_library(_PLUGIN, plugin.get_library_path())
    devices = onnxruntime.get_ep_devices()
    found = [each for each in devices if each.ep_metadata.get("ov_device") == "CPU"]
    if not found:
        raise SystemExit("Error: OpenVINO lists no processor; expected one of Intel")
    return found[0]


def _session(path: str, threads: int, *, device: Any = None, arithmetic: str = "") -> Any:
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.add_session_config_entry(RECORD_PLACEMENT, "1")
    if device is None:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    config = {"INFERENCE_PRECISION_HINT": arithmetic, "INFERENCE_NUM_THREADS": str(threads)}
    options.add_provider_for_devices([device], {"load_config": json.dumps({"CPU": config})})
    return onnxruntime.InferenceSession(path, options)


def _feeds(bundle: Bundle, case: str) -> Feeds:
    shapes, rng = bundle.manifest.shapes, np.random.default_rng(0)
    if case == "codec":
        codec = shapes.codec
        return {CODES: rng.integers(0, codec.codebook_size, (1, codec.num_codebooks, _FRAMES))}
    if case == "fine":
        window = bundle.manifest.generation.fine.max_fine_input_length
        codebooks = shapes.fine.num_codebooks
        return {
            CODES: rng.integers(0, 1024, (1, window, codebooks)),
            CODEBOOK_INDEX: np.array(codebooks - 1),
            FRAME_INDICES: np.arange(window),
        }
    past = 0 if case == "prompt" else _CONTEXT
    count = 257 if case == "prompt" else 1
    length = shapes.coarse.context_length
    known: Feeds = {
        "input_ids": rng.integers(0, 10_000, (1, count)),
        "position_ids": np.arange(past, past + count)[None],
        "seqlens_k": np.array([past + count - 1], np.int32),
        "total_sequence_length": np.array(past + count, np.int32),
    }
    size = (1, shapes.coarse.num_heads, length, shapes.coarse.head_size)
    contract = bundle.contract("coarse", "fp32")
    for tensor in contract.inputs:
        if tensor.name not in known:
            known[tensor.name] = rng.normal(size=size).astype(np.float32)
    return known


if __name__ == "__main__":
    main()
