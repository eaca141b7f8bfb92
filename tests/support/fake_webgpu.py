"""An onnxruntime with the plug-in WebGPU, whose sessions run on the CPU."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from bark_onnx.graphs.onnxruntime import import_onnxruntime
from bark_onnx.runtime.inference import sessions
from bark_onnx.runtime.inference.providers import selection, webgpu
from tests.support.fake_onnxruntime import CPU, FakeSession, part

WEBGPU = "WebGpuExecutionProvider"


class FakeWebGpu:
    """An onnxruntime whose plug-in is a fake; what it is asked for is recorded.

    Args:
        gpus: GPUs that the plug-in finds.
        refused: What the plug-in says when it is registered; None if it fits.
        broken: What a session says when it is opened; None if the GPU answers.
    """

    def __init__(
        self, *, gpus: int = 1, refused: str | None = None, broken: str | None = None
    ) -> None:
        self.real = import_onnxruntime()
        self.registered: list[tuple[str, str]] = []
        self.options: list[Any] = []  # of every session
        self.OrtValue, self.__version__ = self.real.OrtValue, self.real.__version__
        self._gpus, self._refused, self._broken = gpus, refused, broken

    def register_execution_provider_library(self, name: str, path: str) -> None:
        if self._refused is not None:
            raise RuntimeError(self._refused)
        self.registered.append((name, path))

    def get_ep_devices(self) -> list[Any]:
        names = [CPU, *([WEBGPU] * self._gpus if self.registered else [])]
        return [SimpleNamespace(ep_name=name) for name in names]

    def set_default_logger_severity(self, level: int) -> None:
        assert level >= 3

    def SessionOptions(self) -> Any:  # noqa: N802, as in onnxruntime
        return _options(self.real)

    def InferenceSession(self, model: Any, options: Any, **_: Any) -> Any:  # noqa: N802
        if not options.devices:
            return self.real.InferenceSession(model, options, providers=[CPU])
        if self._broken is not None:
            raise RuntimeError(self._broken)
        self.options.append(options)
        return FakeWebGpuSession(self.real.InferenceSession(model, options, providers=[CPU]))


class FakeWebGpuSession(FakeSession):
    """A session that reports WebGPU for everything."""

    def run(self, *arguments: Any) -> Any:
        return self.session.run(*arguments)

    def get_provider_graph_assignment_info(self) -> list[Any]:
        return [part(WEBGPU, "MatMul"), part(CPU, "Shape")]


def _options(real: Any) -> Any:
    class Options(real.SessionOptions):  # type: ignore[name-defined, misc]
        """Options that keep the devices of the plug-in."""

        def __init__(self) -> None:
            super().__init__()
            self.devices: list[Any] = []

        def add_provider_for_devices(self, devices: list[Any], options: dict[str, str]) -> None:
            assert options == {}
            self.devices = devices

    return Options()


def install(monkeypatch: pytest.MonkeyPatch, runtime: FakeWebGpu) -> FakeWebGpu:
    """Let the providers of WebGPU use a fake; memory of the device is CPU memory."""
    module = SimpleNamespace(get_library_path=lambda: "libwebgpu.so")
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_webgpu", module)  # type: ignore[arg-type]
    for user in (sessions, webgpu):
        monkeypatch.setattr(user, "import_onnxruntime", lambda: runtime)
    monkeypatch.setattr(webgpu, "_DEVICE", "cpu")
    device = webgpu.WebGpuDevice()
    for low_power in (False, True):
        provider = webgpu.WebGpuProvider(device, low_power=low_power)
        monkeypatch.setitem(selection._BY_NAME, provider.name, provider)
    return runtime
