"""What only a GPU can show; `make test-cuda` runs it, with the parity suite on CUDA."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.contract import CausalStage
from bark_onnx.runtime import Bark, GenerationOptions
from bark_onnx.runtime.inference.decoders.cuda_graph import CudaGraphDecoder
from bark_onnx.runtime.inference.decoders.decoder import StepInput
from bark_onnx.runtime.inference.decoders.sessions import CausalSessions
from bark_onnx.runtime.inference.decoders.static_cache import StaticCacheDecoder
from bark_onnx.runtime.inference.sessions import ExecutionTarget, open_session

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _gpu(provider: str) -> None:
    if provider != "cuda":
        pytest.skip("needs a GPU: make test-cuda")


def _graphs(
    folder: Path, stage: CausalStage, precision: str, *, device: ExecutionTarget
) -> CausalSessions:
    bundle = Bundle(folder)
    contract = bundle.contract(stage, precision)
    path = bundle.graph(precision, stage)
    session = open_session(path, contract, device, recorded=device.provider == "cuda")
    return CausalSessions(session, session, contract, getattr(bundle.manifest.shapes, stage))


@pytest.mark.parametrize("stage", ["semantic", "coarse"])
def test_float16_logits_of_a_gpu_are_near_those_of_float32_on_the_cpu(
    half_bundle: Path, stage: CausalStage
):
    ours = CudaGraphDecoder(
        _graphs(half_bundle, stage, "fp16", device=ExecutionTarget("cuda")), 4, "cuda"
    )
    exact = StaticCacheDecoder(
        _graphs(half_bundle, stage, "fp32", device=ExecutionTarget("cpu")), 4
    )
    for slot, count in enumerate((257, 1, 700)):
        feed = StepInput(RNG.integers(0, 10_000, count), 0)
        _near(ours.feed(slot, feed), exact.feed(slot, feed))
    for _ in range(5):  # the first of a batch is recorded, the others replay it
        ids = RNG.integers(0, 10_000, 3)
        _near(ours.step(ids), exact.step(ids))
    for decoder in (ours, exact):
        decoder.move(2, 0)
    ids = RNG.integers(0, 10_000, 2)
    _near(ours.step(ids), exact.step(ids))


def _near(ours: np.ndarray, exact: np.ndarray) -> None:
    assert np.linalg.norm(ours - exact) < 0.01 * np.linalg.norm(exact)


def test_recorded_steps_equal_steps_that_are_not(half_bundle: Path):
    graphs = _graphs(half_bundle, "coarse", "fp16", device=ExecutionTarget("cuda"))
    contract, path = graphs.contract, Bundle(half_bundle).graph("fp16", "coarse")
    plain = open_session(path, contract, ExecutionTarget("cuda"), recorded=False)
    decoders = [
        CudaGraphDecoder(graphs, 2, "cuda"),
        CudaGraphDecoder(dataclasses.replace(graphs, prompt=plain, step=plain), 2, "cuda"),
    ]
    for slot, count in enumerate((40, 90)):
        feed = StepInput(RNG.integers(0, 10_000, count), 0)
        for decoder in decoders:
            decoder.feed(slot, feed)
    for _ in range(5):
        ids = RNG.integers(0, 10_000, 2)
        found, expected = (decoder.step(ids) for decoder in decoders)
        np.testing.assert_array_equal(found, expected)


def test_speech_in_float16(half_bundle: Path):
    bark = Bark.load(half_bundle)
    assert (bark.describe()["provider"], bark.describe()["precision"]) == ("cuda", "fp16")
    settings = {"options": GenerationOptions.greedy(), "semantic_max_new_tokens": 40}
    speech = bark.speak("Hello", voice="v2/en_speaker_0", **settings)
    again = bark.speak("Hello", voice="v2/en_speaker_0", **settings)
    np.testing.assert_array_equal(speech.samples, again.samples)
    assert speech.samples.std() > 0.01
    texts = ["Hello", "Good morning to you", "Bye"]
    for text, together in zip(texts, bark.speak_batch(texts, **settings), strict=True):
        assert len(together.semantic_tokens) == len(bark.speak(text, **settings).semantic_tokens)
