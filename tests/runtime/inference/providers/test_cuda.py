"""The provider CUDA: what it requests, and what it refuses, before any request."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bark_onnx.graphs.errors import ProviderError
from bark_onnx.graphs.installation import install_command
from bark_onnx.runtime import Bark
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
    assert seen == [f"{stage}.onnx" for stage in ("semantic", "coarse", "fine", "codec")]
