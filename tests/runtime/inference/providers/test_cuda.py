"""The provider CUDA: what it requests, and what it refuses, before any request."""

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bark_onnx.graphs.errors import EngineError, ProviderError
from bark_onnx.graphs.installation import install_command
from bark_onnx.runtime import Bark
from bark_onnx.runtime.inference.decoders.cuda_graph import CudaGraphDecoder
from bark_onnx.runtime.inference.providers.cuda import CudaProvider
from tests.support.fake_onnxruntime import CPU, CUDA, FakeRuntime, FakeSession, install, part
from tests.support.messages import assert_one_line

MISSING = """Failed to load libcublasLt.so.13: libcublasLt.so.13: cannot open shared object file
Failed to load libcurand.so.10: libcurand.so.10: cannot open shared object file
Please follow https://onnxruntime.ai/docs/install/#cuda-and-cudnn to install CUDA."""
ERRORS = 3


def _fails(*words: str) -> None:
    with pytest.raises(ProviderError) as caught:
        CudaProvider().start()
    assert_one_line(str(caught.value), "provider cuda", *words)


def test_start_passes_with_a_gpu_and_silences_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = install(monkeypatch, FakeRuntime())
    CudaProvider().start()
    assert runtime.log_level == ERRORS


def test_an_onnxruntime_without_cuda_is_refused_with_the_name_of_the_extra() -> None:
    _fails("CPUExecutionProvider", install_command("gpu"))


def test_a_gpu_that_does_not_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeRuntime(gpu=False))
    _fails("does not start", "driver version is insufficient", "nvidia-smi", "CUDA 13")


def test_a_missing_library_is_named_and_nothing_is_printed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch, FakeRuntime(missing=MISSING))
    _fails("Failed to load libcublasLt.so.13", "CUDA 13", install_command("gpu"))
    assert capfd.readouterr() == ("", "")


def test_missing_cudnn_is_refused_before_any_request(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeRuntime(), cudnn=False)
    _fails("libcudnn", "cannot open shared object file", "install cuDNN 9", "--provider cpu")


def test_auto_falls_back_to_the_cpu_as_a_whole(
    half_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = install(monkeypatch, FakeRuntime(), cudnn=False)
    assert Bark.load(half_bundle).describe().provider == "cpu"
    assert {provider for _, provider in runtime.requested} == {CPU}


def test_all_stages_are_open_when_loading_returns(
    half_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, FakeRuntime())
    bark = Bark.load(half_bundle, provider="cuda", wait=False)
    assert all(loading.done() for loading in bark._models._loading.values())


def test_sessions_request_kernels_that_do_not_depend_on_the_length() -> None:
    for replays in (True, False):
        (name, settings), cpu = CudaProvider().session_providers(replays_steps=replays)
        assert (name, cpu) == (CUDA, CPU)
        assert settings["use_tf32"] == "0"
        assert settings["cudnn_conv_algo_search"] == "HEURISTIC"
        assert settings["sdpa_kernel"] == "3"
        assert settings["enable_cuda_graph"] == str(int(replays))


@pytest.mark.parametrize(
    ("providers", "parts", "words"),
    [
        ([CPU], [], ("CUDA did not start", CPU, "CUDA 13", "cuDNN")),
        (
            [CUDA, CPU],
            [part(CUDA, "Add"), part(CPU, "MatMul", "Cast")],
            ("no kernel for MatMul,", "would run on the CPU"),
        ),
    ],
    ids=["not started", "not all"],
)
def test_a_graph_that_cuda_does_not_run_is_refused(
    providers: list[str],
    parts: list[Any],
    words: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, FakeRuntime())
    session = SimpleNamespace(
        get_providers=lambda: providers, get_provider_graph_assignment_info=lambda: parts
    )
    with pytest.raises(ProviderError) as caught:
        CudaProvider().check_placement(session, Path("coarse.onnx"))
    assert_one_line(str(caught.value), "coarse.onnx", *words)


def test_small_operators_may_run_on_the_cpu() -> None:
    CudaProvider().check_placement(FakeSession(None), Path("coarse.onnx"))


def test_the_placement_of_every_session_is_checked(
    half_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, FakeRuntime())
    seen: list[str] = []
    monkeypatch.setattr(
        CudaProvider, "check_placement", lambda _, session, path: seen.append(path.name)
    )
    Bark.load(half_bundle)
    draws = [f"{stage}.draw.onnx" for stage in ("semantic", "coarse", "fine")]
    assert seen == [*draws, "codec.onnx"]


class CaptureWatch:
    """Notes whether anything happens on the device while a step is captured."""

    def __init__(self) -> None:
        self.capturing: int | None = None
        self.captured: list[int] = []  # batch sizes
        self.disturbed: list[str] = []

    def note(self, event: str) -> None:
        if self.capturing not in (None, threading.get_ident()):
            self.disturbed.append(event)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> CaptureWatch:
    """A fake whose steps take a while when they run for the first time."""
    runtime, watch = install(monkeypatch, FakeRuntime()), CaptureWatch()
    new_step = CudaGraphDecoder._new_step
    run, open_session = FakeSession.run_with_iobinding, runtime.open

    def capture(decoder: CudaGraphDecoder, batch_size: int) -> Any:
        watch.note("capture")
        watch.captured.append(batch_size)
        watch.capturing = threading.get_ident()
        time.sleep(0.05)
        watch.note("another capture")
        watch.capturing = None
        return new_step(decoder, batch_size)

    def watched_run(session: FakeSession, *arguments: Any) -> None:
        watch.note("run")
        run(session, *arguments)

    def watched_open(*arguments: Any, **settings: Any) -> Any:
        watch.note("open")
        return open_session(*arguments, **settings)

    monkeypatch.setattr(CudaGraphDecoder, "_new_step", capture)
    monkeypatch.setattr(FakeSession, "run_with_iobinding", watched_run)
    runtime.InferenceSession = watched_open
    return watch


def test_the_steps_of_every_batch_size_are_captured_at_load(
    half_bundle: Path, watch: CaptureWatch
) -> None:
    with Bark.load(half_bundle, max_batch_size=5) as bark:
        assert watch.captured == [1, 2, 4, 5] * 2
        bark.speak_batch(["Hello"] * 5, semantic_max_new_tokens=5)
    assert watch.captured == [1, 2, 4, 5] * 2


def test_nothing_else_happens_on_the_device_while_a_step_is_captured(
    half_bundle: Path, watch: CaptureWatch
) -> None:
    def load_and_speak() -> None:
        with Bark.load(half_bundle, max_batch_size=4, wait=False) as bark:
            bark.speak("Hello", semantic_max_new_tokens=8)

    threads = [threading.Thread(target=load_and_speak) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert watch.captured.count(4) == 6
    assert watch.disturbed == []


def test_steps_that_cannot_be_captured_are_an_error_of_loading(
    half_bundle: Path, watch: CaptureWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("CUDA error 2: out of memory")

    monkeypatch.setattr(FakeSession, "run_with_iobinding", fail)
    with pytest.raises(EngineError) as caught:
        Bark.load(half_bundle)
    words = ("semantic stage", "out of memory", "lower max_batch_size (8)")
    assert_one_line(str(caught.value), *words)
