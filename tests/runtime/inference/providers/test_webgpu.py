"""The provider WebGPU over a fake plug-in: what it requests, refuses and says."""

import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bark_onnx.graphs.contract import STAGES
from bark_onnx.graphs.errors import ProviderError
from bark_onnx.graphs.installation import install_command
from bark_onnx.graphs.onnxruntime import import_onnxruntime
from bark_onnx.runtime import Bark, GenerationOptions
from bark_onnx.runtime.inference.providers.selection import _BY_NAME
from bark_onnx.runtime.inference.providers.webgpu import WebGpuDevice, WebGpuProvider
from bark_onnx.runtime.inference.providers.webgpu_probes import has_float16, sums_keys_once
from tests.support.fake_onnxruntime import CPU, part
from tests.support.fake_webgpu import WEBGPU, FakeWebGpu, install
from tests.support.messages import assert_one_line
from tests.support.stages import session_of

SPEECH = {"options": GenerationOptions.greedy(), "semantic_max_new_tokens": 9}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeWebGpu:
    return install(monkeypatch, FakeWebGpu())


def _refused(load: Any, *words: str) -> None:
    with pytest.raises(ProviderError) as caught:
        load()
    assert_one_line(str(caught.value), *words)


def _start() -> None:
    _BY_NAME["webgpu"].start()


def test_speech_in_fp32_is_that_of_the_cpu_alone_and_in_batches(
    random_bundle: Path, fake: FakeWebGpu
):
    texts = ["Hello", "Good morning to you", "Bye"]
    with (
        Bark.load(random_bundle, provider="webgpu", max_batch_size=3) as bark,
        Bark.load(random_bundle, provider="cpu", max_batch_size=3) as cpu,
    ):
        assert bark.describe().provider == "webgpu"
        for found, expected in zip(
            [bark.speak("Hello", **SPEECH), *bark.speak_batch(texts, **SPEECH)],
            [cpu.speak("Hello", **SPEECH), *cpu.speak_batch(texts, **SPEECH)],
            strict=True,
        ):
            np.testing.assert_array_equal(found.fine_tokens, expected.fine_tokens)


def test_every_session_runs_on_one_device_whichever_the_plug_in_finds(
    random_bundle: Path, monkeypatch: pytest.MonkeyPatch
):
    runtime = install(monkeypatch, FakeWebGpu(gpus=2))
    with Bark.load(random_bundle, provider="webgpu-low-power"):
        pass
    assert len(runtime.options) == 2 + 4 + 4  # probes, stages, and two graphs a decoder
    key = "ep.webgpuexecutionprovider.powerPreference"
    for options in runtime.options:
        assert [device.ep_name for device in options.devices] == [WEBGPU]
        assert options.get_session_config_entry(key) == "low-power"


def test_the_plug_in_is_registered_once(fake: FakeWebGpu):
    for _ in range(2):
        _start()
    assert [path for _, path in fake.registered] == ["libwebgpu.so"]


def test_auto_takes_the_cpu_where_webgpu_would_start(random_bundle: Path, fake: FakeWebGpu):
    with Bark.load(random_bundle) as bark:
        assert bark.describe().provider == "cpu"
    assert fake.registered == []


def test_a_missing_plug_in_is_refused_with_the_name_of_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_webgpu", None)
    load = WebGpuProvider(WebGpuDevice()).start
    _refused(load, "provider webgpu", "not installed", install_command("webgpu"))


def test_a_plug_in_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch):
    install(monkeypatch, FakeWebGpu(refused='ORT runtime version "1.20" is below\nmore'))
    _refused(_start, "ORT runtime version", install_command("webgpu"))


def test_a_machine_without_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch):
    install(monkeypatch, FakeWebGpu(gpus=0))
    _refused(_start, "finds no GPU", "libvulkan1", "--provider cpu")


def test_a_gpu_that_does_not_answer_is_refused(monkeypatch: pytest.MonkeyPatch):
    install(monkeypatch, FakeWebGpu(broken="Failed to get a WebGPU adapter.\nmore"))
    _refused(_start, "does not start", "Failed to get a WebGPU adapter", "driver")


def test_the_other_gpu_is_refused_in_the_same_process(fake: FakeWebGpu):
    _start()
    words = ("has started with the high-performance GPU", "another process")
    _refused(_BY_NAME["webgpu-low-power"].start, *words)


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_a_precision_that_the_device_does_not_run_is_refused_with_advice(
    half_bundle: Path, fake: FakeWebGpu, precision: str, monkeypatch: pytest.MonkeyPatch
):
    _start()
    monkeypatch.setattr(_BY_NAME["webgpu"]._device, "has_float16", False)
    _refused(
        lambda: Bark.load(half_bundle, provider="webgpu", precision=precision),
        f"provider webgpu does not run {precision} with fused attention",
        "where the GPU computes with 16 bits",
        "--precision fp32",
    )


def test_a_device_with_16_bits_takes_fp16_and_one_without_takes_fp32(
    half_bundle: Path, fake: FakeWebGpu, monkeypatch: pytest.MonkeyPatch
):
    _start()
    for has, precision in ((True, "fp16"), (False, "fp32")):
        monkeypatch.setattr(_BY_NAME["webgpu"]._device, "has_float16", has)
        with Bark.load(half_bundle, provider="webgpu", low_memory=True) as bark:
            assert bark.describe().precision == precision


def test_standard_attention_is_refused(standard_bundle: Path, fake: FakeWebGpu):
    words = ("does not run fp32 with standard attention", "it runs fused attention")
    _refused(lambda: Bark.load(standard_bundle, provider="webgpu"), *words)


def test_a_graph_that_webgpu_does_not_run_is_refused() -> None:
    parts = [part(WEBGPU, "Add"), part(CPU, "GroupQueryAttention", "Shape")]
    session = SimpleNamespace(get_provider_graph_assignment_info=lambda: parts)
    _refused(
        lambda: WebGpuProvider(WebGpuDevice()).check_placement(session, Path("coarse.onnx")),
        "coarse.onnx: WebGPU has no kernel for GroupQueryAttention,",
    )


def test_a_device_whose_attention_is_wrong_beyond_some_frames_refuses_them_at_load(
    random_bundle: Path, fake: FakeWebGpu, monkeypatch: pytest.MonkeyPatch
):
    _start()
    monkeypatch.setattr(_BY_NAME["webgpu"]._device, "max_run_tokens", 31)
    words = ("attention over 1024 frames wrongly", "at most 31", "--provider cpu")
    _refused(lambda: Bark.load(random_bundle, provider="webgpu"), *words)


def test_the_kernels_of_every_stage_are_compiled_at_load(random_bundle: Path, fake: FakeWebGpu):
    with Bark.load(random_bundle, provider="webgpu") as bark:
        for stage in ("semantic", "coarse"):
            with bark._models.acquire(stage) as decoder:
                assert decoder.lengths.tolist() == [0] * decoder.slots
        for stage in STAGES:
            assert type(session_of(bark, stage)).__name__ == "_WebGpuSession"


def test_runs_of_all_sessions_happen_one_at_a_time() -> None:
    running, most = 0, 0

    def run(*_: Any) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.02)
        running -= 1

    provider = WebGpuProvider(WebGpuDevice())
    guarded = [
        provider.guard(SimpleNamespace(run=run, run_with_iobinding=run, marker=number))
        for number in range(2)
    ]
    codes = {"codes": np.zeros((1, 8, 4), np.int64)}
    threads = [
        threading.Thread(target=action, args=arguments)
        for session in guarded
        for action, arguments in ((session.run, (None, codes)), (session.run_with_iobinding, (0,)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, running) == (1, 0)
    assert [session.marker for session in guarded] == [0, 1]  # all else is the session's own


class _Device:
    """Runs graphs on the CPU, and changes what comes out."""

    def __init__(self, change: Any) -> None:
        self._change = change

    def __call__(self, model: bytes) -> Any:
        session = import_onnxruntime().InferenceSession(model, providers=[CPU])
        return SimpleNamespace(run=lambda *inputs: self._change(session.run(*inputs)))


def _fail(message: str) -> Any:
    def fail(_: Any) -> None:
        raise RuntimeError(message)

    return fail


def test_16_bits_are_found_by_running_a_graph() -> None:
    assert has_float16(_Device(lambda outputs: outputs))
    assert not has_float16(_Device(_fail("Program Cast requires f16 but the device")))
    assert not has_float16(_Device(lambda outputs: [outputs[0] + 1]))
    with pytest.raises(RuntimeError, match="device is lost"):
        has_float16(_Device(_fail("device is lost")))


def test_attention_that_is_wrong_is_found_by_running_it() -> None:
    assert sums_keys_once(_Device(lambda outputs: outputs))
    assert not sums_keys_once(_Device(lambda outputs: [outputs[0] * 1.1]))
