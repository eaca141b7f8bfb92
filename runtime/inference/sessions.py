"""Opens ONNX Runtime sessions and compares each graph with its contract.

Knows sessions and threads, and nothing of stages; providers add what they need.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bark_onnx.graphs.contract import METADATA_KEY, GraphContract
from bark_onnx.graphs.errors import BundleError, ContractError, ProviderError, first_line
from bark_onnx.graphs.onnxruntime import import_onnxruntime
from bark_onnx.graphs.tensor_contract import TensorContract
from bark_onnx.runtime.inference.providers.provider import ExecutionProvider
from bark_onnx.runtime.inference.thread_pool import ensure_global_thread_pool
from bark_onnx.runtime.options.generation import is_positive_int

_TENSOR_TYPES = {"float64": "double", "float32": "float", "float16": "float16"}
_MAX_THREADS, _FATAL_ONLY = 1024, 4  # a level of the log: other errors are also raised


@dataclass(frozen=True)
class ExecutionTarget:
    """Provider and resources of sessions."""

    provider: ExecutionProvider
    threads: int | None = None  # CPU threads per session; None: one per physical core
    is_persistent: bool = True  # sessions stay open and share memory; others free theirs at the end


def check_threads(threads: int | None) -> None:
    """Check the requested threads, and import onnxruntime.

    Raises:
        ProviderError: onnxruntime is missing, the number of threads is invalid, or the global
            thread pool of the process has another size.
    """
    if threads is not None and not (is_positive_int(threads) and threads <= _MAX_THREADS):
        raise ProviderError(f"threads is {threads!r}, expected an integer from 1 to {_MAX_THREADS}")
    import_onnxruntime()
    ensure_global_thread_pool(threads)


def open_session(
    path: Path, contract: GraphContract, target: ExecutionTarget, *, replays_steps: bool = False
) -> Any:
    """Open a graph that fulfills `contract` as an `onnxruntime.InferenceSession`.

    Args:
        path: Path of the graph file.
        contract: Expected inputs and outputs.
        target: Provider and resources.
        replays_steps: Whether the provider may capture decode steps and replay them.

    Raises:
        BundleError: ONNX Runtime cannot load the file.
        ContractError: The graph has another contract.
        ProviderError: The provider does not run the whole graph.
    """
    onnxruntime = import_onnxruntime()
    options = _session_options(onnxruntime, target)
    providers = target.provider.session_providers(replays_steps=replays_steps)
    try:
        session = _open(onnxruntime, path, options, providers)
    except ProviderError:
        raise
    except Exception as error:  # onnxruntime has no common class for a graph it cannot load
        raise BundleError(
            f"{path}: ONNX Runtime cannot load it ({first_line(error)}); export the bundle again"
        ) from error
    _check_contract(session, path, contract)
    target.provider.check_placement(session, path)
    return target.provider.guard(session)


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
    target.provider.configure(options, is_persistent=target.is_persistent)
    return options


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
