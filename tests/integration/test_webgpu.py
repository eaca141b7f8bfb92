"""WebGPU, as its plug-in runs it: speech equals that of the CPU and of transformers.

`make test-webgpu` runs these tests on a Vulkan device in software. It computes attention over at
most 31 tokens rightly (`sums_keys_once`), so that prompts run in parts and the checkpoint's fine
window has 28 frames; its other windows are short, so that they slide often.
"""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from bark_onnx.export.random_bark import RandomBark, write_checkpoint
from bark_onnx.graphs.contract import STAGES
from bark_onnx.graphs.errors import ProviderError
from bark_onnx.runtime import Bark, GenerationOptions, Speech
from bark_onnx.runtime.inference.codec import run_codec
from bark_onnx.runtime.inference.decoders.decoder import Decoder, StepInput
from bark_onnx.runtime.inference.fine import FinePass, run_fine_passes
from bark_onnx.runtime.inference.providers.selection import _BY_NAME
from tests.conftest import MakeOnce, export
from tests.support.command import Run
from tests.support.fixtures import CachedReference
from tests.support.messages import assert_one_line
from tests.support.reference import GREEDY
from tests.support.server_process import running_server
from tests.support.stages import session_of

pytest.importorskip("onnxruntime_ep_webgpu", reason="the plug-in is missing: make test-webgpu")

TEXTS = ["Hello", "Good morning to you", "Bye", "One, two, three"]
SPEECH = {"options": GenerationOptions.greedy(), "semantic_max_new_tokens": 12}
SHORT = {**SPEECH, "semantic_max_new_tokens": 4}
WINDOWS = {
    "semantic_config": {"max_input_semantic_length": 32},
    "coarse_acoustics_config": {
        "max_coarse_input_length": 20,
        "max_coarse_history": 24,
        "sliding_window_len": 12,
    },
    "fine_acoustics_config": {"max_fine_input_length": 28, "max_fine_history_length": 14},
}
# Numbers of a shape, which are in CPU memory.
SHAPE_OPERATORS = {"Add", "LessOrEqual", "Mul", "Reshape", "Shape", "Squeeze"}


@pytest.fixture(scope="module")
def checkpoint(make_once: MakeOnce) -> Path:
    """Heads of 64, as real ones have, and short windows."""

    def write(folder: Path) -> None:
        write_checkpoint(folder, RandomBark(hidden_size=128))
        path = folder / "generation_config.json"
        settings = json.loads(path.read_text("utf-8"))
        for stage, changes in WINDOWS.items():
            settings[stage] |= changes
        path.write_text(json.dumps(settings), encoding="utf-8")

    return make_once("checkpoints/webgpu", write)


@pytest.fixture(scope="module")
def bundle(checkpoint: Path, make_once: MakeOnce) -> Path:
    return make_once(
        "bundles/webgpu", lambda target: export(checkpoint, target, precisions=("fp32", "fp16"))
    )


def _load(bundle: Path, provider: str, **options: Any) -> Bark:
    return Bark.load(bundle, provider=provider, precision="fp32", max_batch_size=5, **options)


@pytest.fixture(scope="module")
def bark(bundle: Path) -> Iterator[Bark]:
    with _load(bundle, "webgpu") as bark:
        yield bark


@pytest.fixture(scope="module")
def cpu(bundle: Path) -> Iterator[Bark]:
    with _load(bundle, "cpu") as bark:
        yield bark


@pytest.fixture(scope="module")
def reference(checkpoint: Path) -> CachedReference:
    return CachedReference(checkpoint)


def _equal(found: Speech, expected: Any) -> None:
    for name in ("semantic_tokens", "coarse_tokens", "fine_tokens"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_allclose(found.samples, expected.samples, atol=1e-4, rtol=0)


def test_no_operator_with_computation_is_left_to_the_cpu(bark: Bark):
    for stage in STAGES:
        parts = session_of(bark, stage).get_provider_graph_assignment_info()
        names = {
            is_webgpu: {
                node.op_type
                for each in parts
                if (each.ep_name == "WebGpuExecutionProvider") == is_webgpu
                for node in each.get_nodes()
            }
            for is_webgpu in (True, False)
        }
        assert names[True] & {"MatMul", "Conv"}, stage
        assert names[False] <= SHAPE_OPERATORS, stage


@pytest.mark.parametrize("voice", [None, "v2/en_speaker_0"])
def test_greedy_speech_with_windows_that_slide_equals_transformers_and_the_cpu(
    bark: Bark, cpu: Bark, reference: CachedReference, voice: str | None
):
    speech = bark.speak(TEXTS[0], voice=voice, **SPEECH)
    ids = bark._builder.tokenizer.encode(TEXTS[0])
    history = None if voice is None else bark.voice(voice)
    expected = reference.generate(ids, history, **GREEDY, semantic_max_new_tokens=12)
    assert speech.coarse_tokens.size > 24
    assert speech.samples.std() > 0.01
    _equal(speech, expected)
    _equal(speech, cpu.speak(TEXTS[0], voice=voice, **SPEECH))


def test_sequences_of_a_batch_equal_those_of_the_cpu(bark: Bark, cpu: Bark):
    lengths = [6, 10, 3, 8]
    futures = [
        [
            each.submit(text, **{**SPEECH, "semantic_max_new_tokens": length})
            for text, length in zip(TEXTS, lengths, strict=True)
        ]
        for each in (bark, cpu)
    ]
    for found, expected in zip(*futures, strict=True):
        _equal(found.result(), expected.result())


def _step(rng: np.random.Generator, tokens: int, past_length: int = 0) -> StepInput:
    return StepInput(rng.integers(0, 10_000, tokens), past_length)


def test_sequences_keep_their_caches_on_the_device_while_others_come_and_go(bark: Bark, cpu: Bark):
    with bark._models.acquire("coarse") as gpu, cpu._models.acquire("coarse") as exact:
        rng = np.random.default_rng(0)
        actions: list[Callable[[Decoder], Any]] = []
        for slot, tokens in enumerate((10, 45, 33)):
            step = _step(rng, tokens)
            actions.append(lambda decoder, slot=slot, step=step: decoder.prefill(slot, step))
        actions.append(lambda decoder: decoder.swap_slots(0, 2))
        for count in (2, 3, 2):
            ids = rng.integers(0, 10_000, count)
            actions.append(lambda decoder, ids=ids: decoder.decode(ids))
        rest = _step(rng, 5, 20)
        actions.append(lambda decoder: decoder.prefill(1, rest))  # continues a kept prefix
        actions.append(lambda decoder: decoder.copy_slot(2, 0))
        ids = rng.integers(0, 10_000, 2)
        actions.append(lambda decoder: decoder.decode(ids))
        for number, action in enumerate(actions):
            found, expected = action(gpu), action(exact)
            if expected is not None:
                np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0, err_msg=str(number))


def test_two_loaded_bundles_share_the_device_from_two_threads(bark: Bark, cpu: Bark, bundle: Path):
    expected = cpu.speak(TEXTS[0], **SHORT)
    with (
        _load(bundle, "webgpu") as second,
        ThreadPoolExecutor(2) as threads,
    ):
        speeches = [threads.submit(each.speak, TEXTS[0], **SHORT) for each in (bark, second)]
        for speech in speeches:
            _equal(speech.result(), expected)


def test_a_device_of_narrow_runs_refuses_a_wider_window_and_a_wide_one_computes_it(
    bark: Bark, cpu: Bark
):
    codes = np.random.default_rng(0).integers(0, 1024, (64, 8))
    fine_pass = FinePass(codes, 2, np.arange(64))
    with bark._models.acquire("fine") as gpu, cpu._models.acquire("fine") as exact:
        expected = run_fine_passes(exact, [fine_pass])
        if _BY_NAME["webgpu"]._device.max_run_tokens is None:  # a GPU
            found = run_fine_passes(gpu, [fine_pass])
            np.testing.assert_allclose(found, expected, atol=1e-3, rtol=0)
            return
        with pytest.raises(ProviderError) as caught:
            run_fine_passes(gpu, [fine_pass])
    assert_one_line(str(caught.value), "attention over 64 frames wrongly", "--provider cpu")


def test_several_utterances_share_a_codec_run(bark: Bark, cpu: Bark):
    rng = np.random.default_rng(0)
    utterances = [rng.integers(0, 1024, (frames, 8)) for frames in (20, 50)]
    with bark._models.acquire("codec") as gpu, cpu._models.acquire("codec") as exact:
        together = run_codec(gpu, utterances, padded=64)
        for found, utterance in zip(together, utterances, strict=True):
            (expected,) = run_codec(exact, [utterance], padded=len(utterance))
            np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)


def test_fp16_runs_where_the_device_computes_with_16_bits_and_is_refused_elsewhere(
    bark: Bark, bundle: Path
):
    bark.describe()  # the device has started
    if _BY_NAME["webgpu"]._device.has_float16:
        with Bark.load(bundle, provider="webgpu") as half:
            assert half.describe().precision == "fp16"
            assert half.speak(TEXTS[0], **SHORT).samples.std() > 0
        return
    with pytest.raises(ProviderError) as caught:
        Bark.load(bundle, provider="webgpu", precision="fp16")
    assert_one_line(str(caught.value), "does not run fp16", "16 bits", "--precision fp32")


def test_the_command_writes_the_speech_of_the_cpu(bundle: Path, run: Run, tmp_path: Path):
    samples = {}
    for provider in ("webgpu", "cpu"):
        status, _, errors = run(
            *("speak", TEXTS[0], "-m", bundle, "--provider", provider, "--precision", "fp32"),
            *("--greedy", "--semantic-max-new-tokens", "4", "-o", f"{provider}.wav"),
        )
        assert status == 0, errors
        samples[provider], _ = soundfile.read(tmp_path / f"{provider}.wav")
    np.testing.assert_allclose(samples["webgpu"], samples["cpu"], atol=1e-3, rtol=0)
    status, printed, _ = run("info", "webgpu.wav")
    assert (status, "webgpu" in printed) == (0, True)


def test_the_server_answers_with_the_speech_of_the_cpu(bundle: Path, cpu: Bark):
    samples = []
    for provider in ("webgpu", "cpu"):
        with running_server(lambda name=provider: _load(bundle, name)) as server:
            answer = server.speak("Hi", response_format="pcm", seed=1, semantic_max_new_tokens=4)
            assert answer.status_code == 200, answer.text
            samples.append(np.frombuffer(answer.content, np.int16) / 2**15)
    assert len(samples[0])
    np.testing.assert_allclose(samples[0], samples[1], atol=1e-3, rtol=0)


def test_auto_leaves_the_gpu_alone(bundle: Path):
    with Bark.load(bundle, precision="fp32", low_memory=True) as bark:
        assert bark.describe().provider == "cpu"
