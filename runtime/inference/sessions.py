"""Opens ONNX Runtime sessions and checks that a graph is what its contract says.

Knows providers, and what each is asked for; nothing of stages.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from bark_onnx.graphs.contract import METADATA_KEY, GraphContract, TensorContract
from bark_onnx.graphs.errors import BundleError, ContractError, ProviderError
from bark_onnx.graphs.onnxruntime import import_onnxruntime
from bark_onnx.runtime.inference.thread_pool import ensure_global_thread_pool, use_shared_arena
from bark_onnx.runtime.options.generation import is_positive_int

Provider = Literal["auto", "cpu", "cuda"]
PROVIDERS: tuple[Provider, ...] = get_args(Provider)

_TENSOR_TYPES = {"float32": "float", "float16": "float16"}
_ERRORS_ONLY = 3
_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"

# Operators that carry the work: one of these on the CPU means that the GPU is not used.
_HEAVY = {
    "Attention",
    "Conv",
    "ConvTranspose",
    "FusedMatMul",
    "Gelu",
    "GroupQueryAttention",
    "LayerNormalization",
    "LSTM",
    "MatMul",
    "MultiHeadAttention",
    "SkipLayerNormalization",
}


@dataclass(frozen=True)
class ExecutionTarget:
    """Where graphs run."""

    provider: Literal["cpu", "cuda"]
    threads: int | None = None  # of the CPU; None: one per physical core
    lasting: bool = True  # for sessions that stay open; the memory of others goes when they go


def check_device_options(provider: str, threads: int | None) -> None:
    """Check what a caller asks for, and that there is an ONNX Runtime at all.

    Raises:
        ProviderError: onnxruntime is missing, the provider or the number of threads is unknown, or
            the process shares another number of threads.
    """
    if provider not in PROVIDERS:
        raise ProviderError(f"provider is {provider!r}, expected one of {', '.join(PROVIDERS)}")
    if threads is not None and not is_positive_int(threads):
        raise ProviderError(f"threads is {threads!r}, expected an integer from 1")
    import_onnxruntime()
    ensure_global_thread_pool(threads)


def start_cuda() -> None:
    """Take a little memory of the GPU, which needs everything that graphs need.

    Raises:
        ProviderError: onnxruntime cannot use CUDA, or there is no GPU that it can use.
    """
    onnxruntime = import_onnxruntime()
    available = onnxruntime.get_available_providers()
    if _CUDA not in available:
        raise ProviderError(
            f"provider cuda: the installed onnxruntime offers {', '.join(available)}; "
            "uninstall it and install bark-onnx[gpu]"
        )
    onnxruntime.preload_dlls()
    try:
        onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(1, np.float32), "cuda", 0)
    except Exception as error:  # onnxruntime has no common class for a GPU that does not answer
        raise ProviderError(
            f"provider cuda does not start ({_first_line(error)}); check that nvidia-smi shows a "
            "GPU and a driver for CUDA 13, or use --provider cpu"
        ) from error


def open_session(
    path: Path, contract: GraphContract, device: ExecutionTarget, *, recorded: bool = False
) -> Any:
    """An `onnxruntime.InferenceSession` on a graph that fulfils `contract`.

    Args:
        path: of the graph.
        contract: what it must take and give.
        device: where it runs.
        recorded: on CUDA, let runs be recorded as CUDA graphs and replayed.

    Raises:
        BundleError: the file is no graph.
        ContractError: it is another graph.
        ProviderError: the provider did not take the whole graph.
    """
    onnxruntime = import_onnxruntime()
    options = _options(onnxruntime, device)
    providers: list[Any] = [_CPU]
    if device.provider == "cuda":
        providers.insert(0, (_CUDA, _cuda_options(recorded=recorded)))
    try:
        session = _open(onnxruntime, path, options, providers)
    except ProviderError:
        raise
    except Exception as error:  # onnxruntime has no common class for a graph it cannot load
        raise BundleError(
            f"{path}: ONNX Runtime cannot load it ({_first_line(error)}); export the bundle again"
        ) from error
    _check(session, path, contract)
    if device.provider == "cuda":
        check_placement(session, path)
    return session


def _options(onnxruntime: Any, device: ExecutionTarget) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    if ensure_global_thread_pool(device.threads):
        options.use_per_session_threads = False
    else:
        # Threads that wait busily for the next run take the cores from other stages: where two
        # take turns, each step took twice as long.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        options.intra_op_num_threads = device.threads or 0
    if device.provider == "cuda":
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    else:
        # A pattern keeps a block of memory for each shape beside what runs need anyway.
        options.enable_mem_pattern = False
        if device.lasting:
            use_shared_arena()
            options.add_session_config_entry("session.use_env_allocators", "1")
    return options


def _cuda_options(*, recorded: bool) -> dict[str, str]:
    return {
        "device_id": "0",
        "use_tf32": "0",  # fp32 means fp32
        "enable_cuda_graph": "1" if recorded else "0",
        "enable_skip_layer_norm_strict_mode": "1",  # sums in float32
    }


def _open(onnxruntime: Any, path: Path, options: Any, providers: list[Any]) -> Any:
    """A session; in a process that made ONNX Runtime's shared pool of threads itself, on that."""
    try:
        return onnxruntime.InferenceSession(path, options, providers=providers, enable_fallback=0)
    except Exception as error:
        if "use_per_session_threads" not in str(error):
            raise
    if options.intra_op_num_threads:
        raise ProviderError(
            f"threads is {options.intra_op_num_threads}, but this process has made a pool of "
            "threads for all sessions (onnxruntime.set_global_thread_pool_sizes); "
            "leave threads out"
        )
    options.use_per_session_threads = False
    return onnxruntime.InferenceSession(path, options, providers=providers, enable_fallback=0)


def check_placement(session: Any, path: Path) -> None:
    """Check that CUDA took a graph, for ONNX Runtime goes on without it when it does not start.

    Raises:
        ProviderError: the session runs on the CPU, or operators that carry the work do.
    """
    if _CUDA not in session.get_providers():
        raise ProviderError(
            f"{path}: CUDA did not start, ONNX Runtime fell back to {session.get_providers()[0]}; "
            "check that CUDA 13 and cuDNN 9 are installed (bark-onnx[gpu] brings them)"
        )
    operators = {
        node.op_type
        for part in session.get_provider_graph_assignment_info()
        if part.ep_name != _CUDA
        for node in part.get_nodes()
    }
    misplaced = sorted(operators & _HEAVY)
    if misplaced:
        raise ProviderError(
            f"{path}: CUDA has no kernel for {', '.join(misplaced)}, which would run on the CPU; "
            "update onnxruntime-gpu, or use --provider cpu"
        )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _check(session: Any, path: Path, contract: GraphContract) -> None:
    metadata = session.get_modelmeta().custom_metadata_map
    if METADATA_KEY not in metadata:
        raise ContractError(f"{path}: carries no contract; export the bundle again")
    if GraphContract.from_json(metadata[METADATA_KEY], str(path)) != contract:
        raise ContractError(
            f"{path}: its contract is not the one that bark.json implies; export the bundle again"
        )
    for values, tensors in (
        (session.get_inputs(), contract.inputs),
        (session.get_outputs(), contract.outputs),
    ):
        found = [_shown(value.name, value.type, value.shape) for value in values]
        expected = [_expected(tensor) for tensor in tensors]
        for ours, theirs in zip(found, expected, strict=False):
            if ours != theirs:
                raise ContractError(
                    f"{path}: found {ours}, expected {theirs}; export the bundle again"
                )
        if len(found) != len(expected):
            raise ContractError(
                f"{path}: found {len(found)} inputs or outputs, expected {len(expected)}; "
                "export the bundle again"
            )


def _shown(name: str, kind: str, shape: list[int | str]) -> str:
    # ONNX Runtime may reword an axis that is an expression, so free axes compare as free.
    axes = ", ".join(str(axis) if isinstance(axis, int) else "?" for axis in shape)
    return f"{name}: {kind}[{axes}]"


def _expected(tensor: TensorContract) -> str:
    kind = f"tensor({_TENSOR_TYPES.get(tensor.dtype, tensor.dtype)})"
    return _shown(tensor.name, kind, list(tensor.shape))
