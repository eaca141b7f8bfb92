"""Opens ONNX Runtime sessions and checks that a graph is what its contract says."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from bark_onnx.graphs.contract import METADATA_KEY, GraphContract, TensorContract
from bark_onnx.graphs.errors import BundleError, ContractError, ProviderError
from bark_onnx.graphs.onnxruntime import import_onnxruntime
from bark_onnx.runtime.options import is_count

Provider = Literal["auto", "cpu"]
PROVIDERS: tuple[Provider, ...] = get_args(Provider)

_TENSOR_TYPES = {"float32": "float", "float16": "float16"}
_ERRORS_ONLY = 3
_PROVIDERS = ["CPUExecutionProvider"]


@dataclass(frozen=True)
class Device:
    """Where graphs run."""

    provider: Provider
    threads: int | None = None  # None: one per physical core


def open_device(provider: str, threads: int | None) -> Device:
    """Check that what was asked for can be had.

    Raises:
        ProviderError: onnxruntime is missing, or the provider or the number of threads is unknown.
    """
    if provider not in PROVIDERS:
        raise ProviderError(f"provider is {provider!r}, expected one of {', '.join(PROVIDERS)}")
    if threads is not None and not is_count(threads):
        raise ProviderError(f"threads is {threads!r}, expected an integer from 1")
    import_onnxruntime()
    return Device("cpu", threads)


def open_session(path: Path, contract: GraphContract, device: Device) -> Any:
    """An `onnxruntime.InferenceSession` on a graph that fulfils `contract`.

    Raises:
        BundleError: the file is no graph.
        ContractError: it is another graph.
    """
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    if device.threads is not None:
        options.intra_op_num_threads = device.threads
    try:
        session = _open(onnxruntime, path, options)
    except Exception as error:  # onnxruntime has no common class for a graph it cannot load
        reason = str(error).strip().splitlines()[0]
        raise BundleError(
            f"{path}: ONNX Runtime cannot load it ({reason}); export the bundle again"
        ) from error
    _check(session, path, contract)
    return session


def _open(onnxruntime: Any, path: Path, options: Any) -> Any:
    """A session on threads of its own, or on those that the process shares.

    One shared pool for all stages would need every other session of the process to use it, too:
    that is for the program to decide, not for a library.
    """
    try:
        return onnxruntime.InferenceSession(path, options, providers=_PROVIDERS, enable_fallback=0)
    except Exception as error:
        if "use_per_session_threads" not in str(error):
            raise
        options.use_per_session_threads = False
        return onnxruntime.InferenceSession(path, options, providers=_PROVIDERS, enable_fallback=0)


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
