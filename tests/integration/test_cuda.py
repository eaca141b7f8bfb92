"""Tests that need a GPU; `make test-cuda` runs them and the parity suite on CUDA."""

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.contract import CausalStage
from bark_onnx.runtime import Bark, GenerationOptions
from bark_onnx.runtime.inference.decoders.cuda_graph import CudaGraphDecoder
from bark_onnx.runtime.inference.decoders.decoder import StepInput
from bark_onnx.runtime.inference.decoders.sessions import CausalSessions
from bark_onnx.runtime.inference.decoders.static_cache import StaticCacheDecoder
from bark_onnx.runtime.inference.providers.cpu import CpuProvider
from bark_onnx.runtime.inference.providers.cuda import CudaProvider
from bark_onnx.runtime.inference.sessions import ExecutionTarget, open_session

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _gpu(provider: str) -> None:
    if provider != "cuda":
        pytest.skip("needs a GPU: make test-cuda")


def _sessions(
    folder: Path, stage: CausalStage, precision: str, *, provider: Literal["cpu", "cuda"]
) -> CausalSessions:
    bundle = Bundle(folder)
    contract = bundle.contract(stage, precision)
    path = bundle.graph(precision, stage)
    target = ExecutionTarget(CudaProvider() if provider == "cuda" else CpuProvider())
    session = open_session(path, contract, target, replays_steps=provider == "cuda")
    return CausalSessions(session, session, contract, getattr(bundle.manifest.shapes, stage))


@pytest.mark.parametrize("sequences", [1, 2, 3, 8, 16])
@pytest.mark.parametrize("stage", ["semantic", "coarse"])
def test_fp16_logits_on_a_gpu_are_near_those_in_fp32_on_the_cpu(
    gpu_bundle: Path, stage: CausalStage, sequences: int
):
    gpu = CudaGraphDecoder(_sessions(gpu_bundle, stage, "fp16", provider="cuda"), 16, "cuda")
    cpu = StaticCacheDecoder(_sessions(gpu_bundle, stage, "fp32", provider="cpu"), 16)
    gpu.prepare()
    for slot in range(sequences):
        step = StepInput(RNG.integers(0, 10_000, (257, 1, 700, 40)[slot % 4]), 0)
        _near(gpu.prefill(slot, step), cpu.prefill(slot, step))
    for _ in range(5):
        ids = RNG.integers(0, 10_000, sequences)
        _near(gpu.decode(ids), cpu.decode(ids))
    for decoder in (gpu, cpu):
        decoder.copy_slot(sequences - 1, 0)
    ids = RNG.integers(0, 10_000, 1)
    _near(gpu.decode(ids), cpu.decode(ids))


def _near(found: np.ndarray, exact: np.ndarray) -> None:
    assert np.linalg.norm(found - exact) < 0.01 * np.linalg.norm(exact)


@pytest.mark.parametrize("kept", [1, 40, 257])
@pytest.mark.parametrize("waiting", [0, 1, 2])
def test_a_kept_prefix_stays_while_other_sequences_step(gpu_bundle: Path, kept: int, waiting: int):
    gpu = CudaGraphDecoder(_sessions(gpu_bundle, "coarse", "fp16", provider="cuda"), 4, "cuda")
    cpu = StaticCacheDecoder(_sessions(gpu_bundle, "coarse", "fp32", provider="cpu"), 4)
    prompts = [RNG.integers(0, 10_000, count) for count in (300, 290, 280)]
    for decoder in (gpu, cpu):
        for slot, prompt in enumerate(prompts):
            decoder.prefill(slot, StepInput(prompt, 0))
        decoder.swap_slots(waiting, 2)  # the first two step
    for _ in range(3):
        ids = RNG.integers(0, 10_000, 2)
        _near(gpu.decode(ids), cpu.decode(ids))
    rest = StepInput(RNG.integers(0, 10_000, 5), kept)
    _near(gpu.prefill(2, rest), cpu.prefill(2, rest))


@pytest.mark.parametrize("sequences", [1, 2, 3, 16])
def test_replayed_steps_equal_steps_without_a_cuda_graph(gpu_bundle: Path, sequences: int):
    sessions = _sessions(gpu_bundle, "coarse", "fp16", provider="cuda")
    contract, path = sessions.contract, Bundle(gpu_bundle).graph("fp16", "coarse")
    plain = open_session(path, contract, ExecutionTarget(CudaProvider()))
    decoders = [
        CudaGraphDecoder(sessions, 16, "cuda"),
        CudaGraphDecoder(dataclasses.replace(sessions, prefill=plain, decode=plain), 16, "cuda"),
    ]
    for slot in range(sequences):
        step = StepInput(RNG.integers(0, 10_000, 40 + 5 * slot), 0)
        for decoder in decoders:
            decoder.prefill(slot, step)
    for _ in range(5):
        ids = RNG.integers(0, 10_000, sequences)
        found, expected = (decoder.decode(ids) for decoder in decoders)
        np.testing.assert_array_equal(found, expected)


def test_speech_in_fp16_repeats_alone_and_in_batches(gpu_bundle: Path):
    bark = Bark.load(gpu_bundle)
    assert (bark.describe().provider, bark.describe().precision) == ("cuda", "fp16")
    settings = {"options": GenerationOptions.greedy(), "semantic_max_new_tokens": 40}
    speech = bark.speak("Hello", voice="v2/en_speaker_0", **settings)
    again = bark.speak("Hello", voice="v2/en_speaker_0", **settings)
    np.testing.assert_array_equal(speech.samples, again.samples)
    assert speech.samples.std() > 0.01
    texts = ["Hello", "Good morning to you", "Bye"]
    for text, together in zip(texts, bark.speak_batch(texts, **settings), strict=True):
        assert len(together.semantic_tokens) == len(bark.speak(text, **settings).semantic_tokens)
