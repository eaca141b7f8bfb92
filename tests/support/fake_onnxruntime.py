"""An onnxruntime with CUDA whose sessions run on the CPU."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bark_onnx.graphs.onnxruntime import import_onnxruntime
from bark_onnx.runtime.inference import sessions
from bark_onnx.runtime.inference.decoders.cuda_graph import CudaGraphDecoder
from bark_onnx.runtime.inference.providers import cuda

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class FakeRuntime:
    """An onnxruntime with CUDA, whose sessions run on the CPU; requested providers are recorded.

    Args:
        gpu: Whether there is a GPU.
        missing: What `preload_dlls` prints.
    """

    cuda_version = "13.0"

    def __init__(self, *, gpu: bool = True, missing: str = "") -> None:
        self.real = import_onnxruntime()
        self.requested: list[tuple[Path, Any]] = []
        self.log_level: int | None = None
        self.OrtValue = SimpleNamespace(ortvalue_from_numpy=self._allocate if gpu else self._fail)
        self.SessionOptions = self.real.SessionOptions
        self.InferenceSession = self.open
        self._missing = missing

    def get_available_providers(self) -> list[str]:
        return [CUDA, CPU]

    def preload_dlls(self) -> None:
        if self._missing:
            print(self._missing)

    def set_default_logger_severity(self, level: int) -> None:
        self.log_level = level

    def open(self, path: Path, options: Any, *, providers: Any, **_: Any) -> Any:
        self.requested.append((path, providers[0]))
        session = self.real.InferenceSession(path, options, providers=providers[-1:])
        return session if providers == [CPU] else FakeSession(session)

    def _allocate(self, array: np.ndarray, device: str, number: int) -> str:
        assert (device, number) == ("cuda", 0)
        return "memory"

    def _fail(self, *_: Any) -> None:
        raise RuntimeError("CUDA failure 35: driver version is insufficient ; GPU=-1\nmore")


class FakeSession:
    """A session that reports CUDA for everything."""

    def __init__(self, session: Any) -> None:
        self.session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)

    def run_with_iobinding(self, *arguments: Any) -> None:
        self.session.run_with_iobinding(*arguments)

    def get_providers(self) -> list[str]:
        return [CUDA, CPU]

    def get_provider_graph_assignment_info(self) -> list[Any]:
        return [part(CUDA, "MatMul"), part(CPU, "Shape")]


def part(provider: str, *operators: str) -> Any:
    """Nodes of a graph that a provider runs."""
    nodes = [SimpleNamespace(op_type=name) for name in operators]
    return SimpleNamespace(ep_name=provider, get_nodes=lambda: nodes)


def install(
    monkeypatch: pytest.MonkeyPatch, runtime: FakeRuntime, *, cudnn: bool = True
) -> FakeRuntime:
    """Let the provider `cuda` use a fake; device memory is CPU memory."""

    def load(name: str) -> None:
        if not cudnn:
            raise OSError(f"{name}: cannot open shared object file: No such file or directory")

    for module in (sessions, cuda):
        monkeypatch.setattr(module, "import_onnxruntime", lambda: runtime)
    monkeypatch.setattr(cuda, "ctypes", SimpleNamespace(CDLL=load))
    monkeypatch.setattr(
        cuda,
        "CudaGraphDecoder",
        lambda sessions, slots, _, **rest: CudaGraphDecoder(sessions, slots, "cpu", **rest),
    )
    return runtime
