"""WebGPU: GPUs of any vendor through Vulkan, Direct3D 12 and Metal.

With onnxruntime-ep-webgpu, a plug-in of onnxruntime.
"""

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bark_onnx.graphs.contract import CODES
from bark_onnx.graphs.errors import ProviderError, first_line
from bark_onnx.graphs.installation import install_command
from bark_onnx.graphs.onnxruntime import import_onnxruntime
from bark_onnx.runtime.inference.decoders.decoder import Decoder
from bark_onnx.runtime.inference.decoders.device_cache import DeviceCacheDecoder
from bark_onnx.runtime.inference.decoders.sessions import CausalSessions
from bark_onnx.runtime.inference.providers.guarded_session import GuardedSession
from bark_onnx.runtime.inference.providers.placement import RECORD_PLACEMENT, check_operators
from bark_onnx.runtime.inference.providers.webgpu_probes import has_float16, sums_keys_once

_WEBGPU = "WebGpuExecutionProvider"
_LIBRARY = "bark-onnx webgpu"  # name under which this process registers the plug-in
_OPTION = "ep.webgpuexecutionprovider."
_ERRORS_ONLY, _FATAL_ONLY = 3, 4  # levels of the log
_DEVICE = "gpu"  # of OrtValues

# Of devices whose attention is wrong beyond: `sums_keys_once`.
_NARROW_TOKENS = 31


class WebGpuDevice:
    """The one GPU that WebGPU opens in a process, and what it is able to do.

    The plug-in is not safe with threads (onnxruntime issue 32561), so that one run, load or
    allocation happens at a time, in all sessions.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.has_float16: bool | None = None  # None before the start
        self.max_run_tokens: int | None = (
            None  # most tokens of a run of attention; None: any number
        )
        self._preference: str | None = None  # with which it was started

    def start(self, preference: str) -> None:
        """Load the plug-in and probe the GPU, once.

        Raises:
            ProviderError: The plug-in is missing, or no GPU is usable, or the process has started
                with the other preference.
        """
        with self.lock:
            if self._preference not in (None, preference):
                raise ProviderError(
                    f"WebGPU has started with the {self._preference} GPU, and a process has one; "
                    f"load with the {preference} GPU in another process"
                )
            if self._preference is None:
                _register()
                try:
                    self._probe(preference)
                except Exception as error:  # onnxruntime has no common class for what a GPU refuses
                    raise ProviderError(
                        f"provider webgpu does not start ({first_line(error)}); update the driver "
                        "of the GPU, or use --provider cpu"
                    ) from error
                self._preference = preference

    def _probe(self, preference: str) -> None:
        def open_graph(model: bytes) -> Any:
            return open_small_graph(model, preference)

        self.has_float16 = has_float16(open_graph)
        self.max_run_tokens = None if sums_keys_once(open_graph) else _NARROW_TOKENS


class WebGpuProvider:
    """See `ExecutionProvider`.

    Args:
        device: The device of the process.
        low_power: Whether to prefer the GPU that saves power, where there are several.
    """

    loads_in_background = False
    prepares_decoders = True
    compiles_kernels = True
    uses_draw_graphs = False
    shares_runs = True

    def __init__(self, device: WebGpuDevice, *, low_power: bool = False) -> None:
        self.name = "webgpu-low-power" if low_power else "webgpu"
        self._device = device
        self._preference = "low-power" if low_power else "high-performance"

    def start(self) -> None:
        """See `ExecutionProvider`."""
        self._device.start(self._preference)

    def runs(self, precision: str, attention: str) -> bool:
        """See `ExecutionProvider`. The operator Attention of standard graphs has no kernel."""
        precisions = ("fp32",) if self._device.has_float16 is False else ("fp32", "fp16")
        return attention == "fused" and precision in precisions

    def configure(self, options: Any, *, is_persistent: bool) -> None:
        """See `ExecutionProvider`."""
        _configure(options, self._preference)

    def session_providers(self, *, replays_steps: bool) -> list[Any]:
        """See `ExecutionProvider`."""
        return []

    def opening(self) -> AbstractContextManager[object]:
        """See `ExecutionProvider`."""
        return self._device.lock

    def guard(self, session: Any) -> Any:
        """See `ExecutionProvider`."""
        return _WebGpuSession(session, self._device)

    def check_placement(self, session: Any, path: Path) -> None:
        """See `ExecutionProvider`."""
        remedy = "update onnxruntime-ep-webgpu, or use --provider cpu"
        check_operators(session, path, provider=_WEBGPU, label="WebGPU", remedy=remedy)

    def make_decoder(self, sessions: CausalSessions, slots: int) -> Decoder:
        """See `ExecutionProvider`."""

        def open_graph(model: bytes) -> Any:
            return self.guard(open_small_graph(model, self._preference))

        return DeviceCacheDecoder(
            sessions,
            slots,
            _DEVICE,
            open_graph=open_graph,
            exclusive=lambda: self._device.lock,
            max_run_tokens=self._device.max_run_tokens,
        )


class _WebGpuSession(GuardedSession):
    """A session whose runs are alone, and which the device computes rightly."""

    def __init__(self, session: Any, device: WebGpuDevice) -> None:
        super().__init__(session, lambda: device.lock)
        self._most = device.max_run_tokens

    def run(self, outputs: Sequence[str] | None, inputs: dict[str, NDArray[Any]]) -> Any:
        codes = inputs[CODES]
        is_window = len(inputs) > 1  # of the fine stage; the codec has no attention
        if is_window and self._most is not None and codes.shape[1] > self._most:
            raise ProviderError(
                f"this WebGPU device computes attention over {codes.shape[1]} frames wrongly (at "
                f"most {self._most} are right), as software does; use a GPU, or --provider cpu"
            )
        return super().run(outputs, inputs)


def open_small_graph(model: bytes, preference: str) -> Any:
    """Open the bytes of a graph on the device, as an `onnxruntime.InferenceSession`."""
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    _configure(options, preference)
    session = onnxruntime.InferenceSession(model, options, enable_fallback=0)
    check_operators(
        session, Path("small graph"), provider=_WEBGPU, label="WebGPU", remedy="update it"
    )
    return session


def _register() -> None:
    """Load the plug-in, unless it is loaded.

    Raises:
        ProviderError: It is missing, does not fit onnxruntime, or finds no GPU.
    """
    onnxruntime = import_onnxruntime()
    try:
        import onnxruntime_ep_webgpu
    except ImportError as error:
        raise ProviderError(
            f"provider webgpu: its plug-in is not installed; {install_command('webgpu')}"
        ) from error
    onnxruntime.set_default_logger_severity(_ERRORS_ONLY)
    if not _devices(onnxruntime):
        try:
            path = onnxruntime_ep_webgpu.get_library_path()
            onnxruntime.register_execution_provider_library(_LIBRARY, path)
        except (
            Exception
        ) as error:  # onnxruntime has no common class for a plug-in that does not fit
            if "already registered" not in str(error):
                raise ProviderError(
                    f"provider webgpu does not load its plug-in ({first_line(error)}); "
                    f"{install_command('webgpu')}"
                ) from error
    if not _devices(onnxruntime):
        raise ProviderError(
            "provider webgpu finds no GPU; install the driver of the GPU (on Linux one for Vulkan, "
            "and libvulkan1), or use --provider cpu"
        )


def _devices(onnxruntime: Any) -> list[Any]:
    return [each for each in onnxruntime.get_ep_devices() if each.ep_name == _WEBGPU]


def _configure(options: Any, preference: str) -> None:
    """Let a session run on the device: the plug-in accepts exactly one, and finds the GPU."""
    options.add_session_config_entry(RECORD_PLACEMENT, "1")
    options.add_session_config_entry(f"{_OPTION}powerPreference", preference)
    # Shaders stay compiled while no session is open, as between the stages with low memory.
    options.add_session_config_entry(f"{_OPTION}preserveDevice", "1")
    options.add_provider_for_devices(_devices(import_onnxruntime())[:1], {})
