"""CUDA: GPUs of NVIDIA, with onnxruntime-gpu."""

import contextlib
import ctypes
import io
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from bark_onnx.graphs.errors import ProviderError, first_line
from bark_onnx.graphs.installation import install_command
from bark_onnx.graphs.onnxruntime import import_onnxruntime
from bark_onnx.runtime.inference.decoders.cuda_graph import CudaGraphDecoder
from bark_onnx.runtime.inference.decoders.decoder import Decoder
from bark_onnx.runtime.inference.decoders.dynamic_cache import DynamicCacheDecoder
from bark_onnx.runtime.inference.decoders.sessions import CausalSessions
from bark_onnx.runtime.inference.providers.cpu import CPU_EXECUTION_PROVIDER
from bark_onnx.runtime.inference.providers.guarded_session import GuardedSession
from bark_onnx.runtime.inference.providers.placement import RECORD_PLACEMENT, check_operators
from bark_onnx.runtime.inference.providers.shared_lock import SharedLock

_CUDA = "CUDAExecutionProvider"
_CUDNN = "cudnn64_9.dll" if sys.platform == "win32" else "libcudnn.so.9"
_ERRORS_ONLY = 3  # a level of the log
_FLASH_OR_MEMORY_EFFICIENT = "3"


class CudaProvider:
    """See `ExecutionProvider`."""

    name = "cuda"
    loads_in_background = False
    prepares_decoders = True
    compiles_kernels = False
    uses_draw_graphs = True
    shares_runs = True

    def __init__(self) -> None:
        # A decode step is captured alone: CUDA refuses memory to all other threads meanwhile, and
        # their requests for it may break the capture.
        self._lock = SharedLock()

    def start(self) -> None:
        """See `ExecutionProvider`. Allocates a little memory on the GPU."""
        onnxruntime = import_onnxruntime()
        available = onnxruntime.get_available_providers()
        if _CUDA not in available:
            raise ProviderError(
                f"provider cuda: the installed onnxruntime offers {', '.join(available)}; "
                f"uninstall it, then: {install_command('gpu')}"
            )
        _load_libraries(onnxruntime)
        # Otherwise each session warns that CUDA is not a plug-in.
        onnxruntime.set_default_logger_severity(_ERRORS_ONLY)
        try:
            onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(1, np.float32), "cuda", 0)
        except Exception as error:  # onnxruntime has no common class for a GPU that does not answer
            raise ProviderError(
                f"provider cuda does not start ({first_line(error)}); check that nvidia-smi shows "
                f"a GPU and a driver for {_cuda(onnxruntime)}, or use --provider cpu"
            ) from error

    def runs(self, precision: str, attention: str) -> bool:
        """See `ExecutionProvider`. GroupQueryAttention has no float32 kernel."""
        return attention == "standard" or precision != "fp32"

    def configure(self, options: Any, *, is_persistent: bool) -> None:
        """See `ExecutionProvider`."""
        options.add_session_config_entry(RECORD_PLACEMENT, "1")

    def session_providers(self, *, replays_steps: bool) -> list[Any]:
        """See `ExecutionProvider`."""
        options = {
            "device_id": "0",
            "use_tf32": "0",  # float32 products are exact; the LSTM of cuDNN ignores it
            "enable_cuda_graph": "1" if replays_steps else "0",
            # A new length neither searches for convolutions nor compiles attention of cuDNN.
            "cudnn_conv_algo_search": "HEURISTIC",
            "sdpa_kernel": _FLASH_OR_MEMORY_EFFICIENT,
        }
        return [(_CUDA, options), CPU_EXECUTION_PROVIDER]

    def opening(self) -> AbstractContextManager[None]:
        """See `ExecutionProvider`."""
        return self._lock.shared()

    def guard(self, session: Any) -> Any:
        """See `ExecutionProvider`."""
        return GuardedSession(session, self._lock.shared)

    def check_placement(self, session: Any, path: Path) -> None:
        """See `ExecutionProvider`."""
        if _CUDA not in session.get_providers():
            raise ProviderError(
                f"{path}: CUDA did not start, ONNX Runtime fell back to "
                f"{session.get_providers()[0]}; check that {_cuda(import_onnxruntime())} and cuDNN "
                "9 are installed (bark-onnx[gpu] brings them)"
            )
        remedy = "update onnxruntime-gpu, or use --provider cpu"
        check_operators(session, path, provider=_CUDA, label="CUDA", remedy=remedy)

    def make_decoder(self, sessions: CausalSessions, slots: int) -> Decoder:
        """See `ExecutionProvider`."""
        if sessions.contract.attention == "standard":
            return DynamicCacheDecoder(sessions, slots, "cuda")
        return CudaGraphDecoder(sessions, slots, "cuda", capture=self._lock.alone)


def _load_libraries(onnxruntime: Any) -> None:
    """Load the libraries of CUDA and cuDNN, wherever they are installed.

    Raises:
        ProviderError: One is missing. Without cuDNN, the codec would not open, and the fine stage
            would fail at its first request.
    """
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):  # which may carry sound
        onnxruntime.preload_dlls()
    if lines := printed.getvalue().splitlines():
        raise ProviderError(
            f"provider cuda does not start ({lines[0]}); install "
            f"{_cuda(onnxruntime)}: {install_command('gpu')}, or use --provider cpu"
        )
    try:
        ctypes.CDLL(_CUDNN)
    except OSError as error:
        raise ProviderError(
            f"provider cuda does not start ({first_line(error)}); install cuDNN 9: "
            f"{install_command('gpu')}, or use --provider cpu"
        ) from error


def _cuda(onnxruntime: Any) -> str:
    """Name of the version of CUDA that onnxruntime was built with."""
    return f"CUDA {onnxruntime.cuda_version.partition('.')[0]}"
