"""Selection of provider and precision: requested, available, and supported by each provider."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from bark_onnx.graphs import precisions
from bark_onnx.graphs.errors import BarkError
from bark_onnx.graphs.installation import install_command
from bark_onnx.runtime import Bark, GenerationOptions
from bark_onnx.runtime.inference.providers.placement import COMPUTE_OPS
from bark_onnx.runtime.inference.providers.selection import PROVIDERS
from tests.conftest import export
from tests.support.fake_onnxruntime import FakeRuntime, install
from tests.support.messages import assert_one_line

SPEECH = {"options": GenerationOptions.greedy(), "semantic_max_new_tokens": 12}


def _refused(bundle: Path, *words: str, **settings: Any) -> None:
    with pytest.raises(BarkError) as caught:
        Bark.load(bundle, **settings)
    assert_one_line(str(caught.value), *words)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    return install(monkeypatch, FakeRuntime())


def test_auto_selects_the_cpu_without_cuda(random_bundle: Path):
    assert Bark.load(random_bundle).describe().provider == "cpu"


def test_cuda_is_refused_with_the_name_of_the_extra_when_it_is_not_installed(random_bundle: Path):
    words = ("provider cuda", "CPUExecutionProvider", install_command("gpu"))
    _refused(random_bundle, *words, provider="cuda")


def test_cuda_without_a_gpu_is_refused_and_skipped_by_auto(
    half_bundle: Path, monkeypatch: pytest.MonkeyPatch
):
    install(monkeypatch, FakeRuntime(gpu=False))
    words = ("does not start", "driver version is insufficient", "nvidia-smi", "--provider cpu")
    _refused(half_bundle, *words, provider="cuda")
    assert Bark.load(half_bundle).describe().provider == "cpu"


def test_auto_selects_cuda_and_fp16_and_runs_the_cuda_graph_decoder(
    half_bundle: Path, fake: FakeRuntime
):
    bark = Bark.load(half_bundle)
    assert (bark.describe().provider, bark.describe().precision) == ("cuda", "fp16")
    requested = {path.name: settings for path, settings in fake.requested}
    causal = {"semantic.draw.onnx", "coarse.draw.onnx"}
    assert set(requested) == {*causal, "fine.draw.onnx", "codec.onnx"}
    for name, (provider, settings) in requested.items():
        assert provider == "CUDAExecutionProvider"
        assert settings["use_tf32"] == "0"
        assert settings["enable_cuda_graph"] == str(int(name in causal))
    speech = bark.speak("Hello", voice="v2/en_speaker_0", seed=1, **SPEECH)
    exact = Bark.load(half_bundle, provider="cpu", precision="fp32")
    expected = exact.speak("Hello", voice="v2/en_speaker_0", seed=1, **SPEECH)
    # Random logits are far apart, so float16 rarely changes which is the largest.
    share = (speech.semantic_tokens == expected.semantic_tokens).mean()
    assert share > 0.5
    assert len(speech.samples) == len(expected.samples)


def test_batches_in_fp16_equal_single_runs(half_bundle: Path, fake: FakeRuntime):
    bark = Bark.load(half_bundle, max_batch_size=3)
    texts = ["One", "Two more words", "Three", "And four"]
    together = bark.speak_batch(texts, seed=[0, 1, 2, 3], semantic_max_new_tokens=9)
    for seed, (text, speech) in enumerate(zip(texts, together, strict=True)):
        alone = bark.speak(text, seed=seed, semantic_max_new_tokens=9)
        np.testing.assert_array_equal(speech.fine_tokens, alone.fine_tokens)


@pytest.mark.parametrize("provider", ["auto", "cpu"])
def test_fp16_on_a_cpu_is_refused_with_advice(half_bundle: Path, provider: str):
    words = ("provider cpu does not run fp16", "very slow", "int8")
    _refused(half_bundle, *words, provider=provider, precision="fp16")


def test_int8_on_cuda_is_refused_with_advice(half_bundle: Path, fake: FakeRuntime):
    words = ("provider cuda does not run int8", "--precision fp16", "--provider cpu")
    _refused(half_bundle, *words, provider="cuda", precision="int8")


def test_fused_fp32_on_cuda_is_refused_with_advice(random_bundle: Path, fake: FakeRuntime):
    words = ("provider cuda does not run fp32 with fused attention", "--attention standard")
    _refused(random_bundle, *words, provider="cuda")


def test_auto_selects_the_cpu_for_a_precision_that_cuda_does_not_run(
    half_bundle: Path, fake: FakeRuntime
):
    bark = Bark.load(half_bundle, precision="int8")
    assert (bark.describe().provider, bark.describe().precision) == ("cpu", "int8")


def test_a_bundle_without_a_precision_for_the_cpu_is_refused(
    random_checkpoint: Path, tmp_path: Path
):
    bundle = export(random_checkpoint, tmp_path / "only-half", precisions=("fp16",))
    _refused(bundle, "provider cpu does not run fp16", "very slow")


def test_every_operator_with_weights_or_attention_is_a_compute_op(
    half_bundle: Path, standard_bundle: Path
):
    for path in [
        *(half_bundle / "fp16").glob("*.onnx"),
        *(standard_bundle / "fp32").glob("*.onnx"),
    ]:
        graph = onnx.load(path, load_external_data=False).graph
        matrices = {tensor.name for tensor in graph.initializer if len(tensor.dims) > 1}
        computing = {
            node.op_type
            for node in graph.node
            if "Attention" in node.op_type or (matrices & set(node.input) and node.op_type != "Add")
        }
        # Lookups in embedding tables, cut heads, masks: nothing is computed with these weights.
        assert computing - {"Gather", "Reshape", "Slice", "Where"} <= COMPUTE_OPS, path


def test_every_precision_has_a_provider_and_every_provider_a_hint():
    everywhere = {name for names in precisions.PREFERRED_PRECISIONS.values() for name in names}
    assert everywhere == set(precisions.PRECISIONS)
    names = set(PROVIDERS) - {"auto"}
    assert set(precisions.PREFERRED_PRECISIONS) == set(precisions.UNSUPPORTED_HINT) == names
