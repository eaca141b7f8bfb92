"""Opens ONNX Runtime sessions and compares each graph with its contract.

Knows providers and their options, and nothing of stages.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from bark_onnx.graphs.contract import METADATA_KEY, GraphContract, TensorContract
from bark_onnx.graphs.errors import BundleError, ContractError, ProviderError, first_line
from bark_onnx.graphs.installation import install_command
from bark_onnx.graphs.onnxruntime import import_onnxruntime
from bark_onnx.runtime.inference.thread_pool import ensure_global_thread_pool, use_shared_arena
from bark_onnx.runtime.options.generation import is_positive_int

Provider = Literal["auto", "cpu", "cuda"]
PROVIDERS: tuple[Provider, ...] = get_args(Provider)

_TENSOR_TYPES = {"float32": "float", "float16": "float16"}
_MAX_THREADS, _FATAL_ONLY = 1024, 4  # a level of the log: other errors are also raised
_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"

# Operators with most of the computation: one of these on the CPU means that the GPU is not used.
COMPUTE_OPS = {
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
    """Provider and resources of sessions."""

    provider: Literal["cpu", "cuda"]
    threads: int | None = None  # CPU threads per session; None: one per physical core
    is_persistent: bool = True  # sessions stay open and share memory; others free theirs at the end


def check_device_options(provider: str, threads: int | None) -> None:
    """Check the requested provider and threads, and import onnxruntime.

    Raises:
        ProviderError: onnxruntime is missing, the provider or the number of threads is invalid, or
            the global thread pool of the process has another size.
    """
    if provider not in PROVIDERS:
        raise ProviderError(f"provider is {provider!r}, expected one of {', '.join(PROVIDERS)}")
    if threads is not None and not (is_positive_int(threads) and threads <= _MAX_THREADS):
        raise ProviderError(f"threads is {threads!r}, expected an integer from 1 to {_MAX_THREADS}")
    import_onnxruntime()
    ensure_global_thread_pool(threads)


def start_cuda() -> None:
    """Allocate a little GPU memory: this fails wherever graphs could not run.

    Raises:
        ProviderError: onnxruntime cannot use CUDA, or finds no usable GPU.
    """
    onnxruntime = import_onnxruntime()
    available = onnxruntime.get_available_providers()
    if _CUDA not in available:
        raise ProviderError(
            f"provider cuda: the installed onnxruntime offers {', '.join(available)}; "
            f"uninstall it, then: {install_command('gpu')}"
        )
    onnxruntime.preload_dlls()
    try:
        onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(1, np.float32), "cuda", 0)
    except Exception as error:  # onnxruntime has no common class for a GPU that does not answer
        raise ProviderError(
            f"provider cuda does not start ({first_line(error)}); check that nvidia-smi shows a "
            "GPU and a driver for CUDA 13, or use --provider cpu"
        ) from error


def open_session(
    path: Path, contract: GraphContract, target: ExecutionTarget, *, enable_cuda_graph: bool = False
) -> Any:
    """Open a graph that fulfills `contract` as an `onnxruntime.InferenceSession`.

    Args:
        path: Path of the graph file.
        contract: Expected inputs and outputs.
        target: Provider and resources.
        enable_cuda_graph: Whether runs on CUDA can be captured as CUDA graphs and replayed.

    Raises:
        BundleError: ONNX Runtime cannot load the file.
        ContractError: The graph has another contract.
        ProviderError: The provider does not run the whole graph.
    """
    onnxruntime = import_onnxruntime()
    options = _session_options(onnxruntime, target)
    providers: list[Any] = [_CPU]
    if target.provider == "cuda":
        providers.insert(0, (_CUDA, _cuda_options(enable_cuda_graph=enable_cuda_graph)))
    try:
        session = _open(onnxruntime, path, options, providers)
    except ProviderError:
        raise
    except Exception as error:  # onnxruntime has no common class for a graph it cannot load
        raise BundleError(
            f"{path}: ONNX Runtime cannot load it ({first_line(error)}); export the bundle again"
        ) from error
    _check_contract(session, path, contract)
    if target.provider == "cuda":
        check_placement(session, path)
    return session


def _session_options(onnxruntime: Any, target: ExecutionTarget) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    if ensure_global_thread_pool(target.threads):
        options.use_per_session_threads = False
    else:
        # Threads that wait busily for the next run take the cores from other stages: each step took
        # twice as long when two stages ran in turn.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        options.intra_op_num_threads = target.threads or 0
    if target.provider == "cuda":
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    else:
        # A memory pattern would keep a block for each shape in addition to what runs need.
        options.enable_mem_pattern = False
        if target.is_persistent:
            use_shared_arena()
            options.add_session_config_entry("session.use_env_allocators", "1")
    return options


def _cuda_options(*, enable_cuda_graph: bool) -> dict[str, str]:
    return {
        "device_id": "0",
        "use_tf32": "0",  # keep fp32 exact
        "enable_cuda_graph": "1" if enable_cuda_graph else "0",
        "enable_skip_layer_norm_strict_mode": "1",  # sums in float32
    }


def _open(onnxruntime: Any, path: Path, options: Any, providers: list[Any]) -> Any:
    """Open a session, on ONNX Runtime's global thread pool if the process has created one."""
    try:
        return onnxruntime.InferenceSession(path, options, providers=providers, enable_fallback=0)
    except Exception as error:
        if "use_per_session_threads" not in str(error):
            raise
    if options.intra_op_num_threads:
        raise ProviderError(
            f"threads is {options.intra_op_num_threads}, but this process has created a thread "
            "pool for all sessions (onnxruntime.set_global_thread_pool_sizes); omit threads"
        )
    options.use_per_session_threads = False
    return onnxruntime.InferenceSession(path, options, providers=providers, enable_fallback=0)


def check_placement(session: Any, path: Path) -> None:
    """Check that CUDA runs a graph: ONNX Runtime silently falls back to the CPU where it does not.

    Raises:
        ProviderError: The session, or one of its `COMPUTE_OPS`, runs on the CPU.
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
    misplaced = sorted(operators & COMPUTE_OPS)
    if misplaced:
        raise ProviderError(
            f"{path}: CUDA has no kernel for {', '.join(misplaced)}, which would run on the CPU; "
            "update onnxruntime-gpu, or use --provider cpu"
        )


def _check_contract(session: Any, path: Path, contract: GraphContract) -> None:
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
        found = [_describe(value.name, value.type, value.shape) for value in values]
        expected = [_expected(tensor) for tensor in tensors]
        for actual, wanted in zip(found, expected, strict=False):
            if actual != wanted:
                raise ContractError(
                    f"{path}: found {actual}, expected {wanted}; export the bundle again"
                )
        if len(found) != len(expected):
            raise ContractError(
                f"{path}: found {len(found)} inputs or outputs, expected {len(expected)}; "
                "export the bundle again"
            )


def _describe(name: str, kind: str, shape: list[int | str]) -> str:
    # ONNX Runtime may rewrite the expression of a dynamic axis, so all of those compare equal.
    axes = ", ".join(str(axis) if isinstance(axis, int) else "?" for axis in shape)
    return f"{name}: {kind}[{axes}]"


def _expected(tensor: TensorContract) -> str:
    kind = f"tensor({_TENSOR_TYPES.get(tensor.dtype, tensor.dtype)})"
    return _describe(tensor.name, kind, list(tensor.shape))
