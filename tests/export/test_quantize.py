"""Bundles of lower precisions: files, errors, and speech of batches."""

import dataclasses
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pytest

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.bundle.integrity import hash_file
from bark_onnx.graphs.bundle.manifest import Manifest
from bark_onnx.graphs.errors import BundleError
from bark_onnx.graphs.precisions import PRECISIONS
from bark_onnx.runtime import Bark, GenerationOptions
from tests.conftest import export
from tests.support.load import REQUESTS, assert_same, under_load


@pytest.fixture(scope="module")
def quantized_bundle(random_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("bundles") / "quantized"
    return export(random_checkpoint, target, precisions=("int8", "int4"), verify=True)


def test_manifest_reports_the_error_of_each_precision(quantized_bundle: Path):
    manifest = Manifest.read(quantized_bundle)
    assert manifest.precisions == ("int8", "int4")
    expected = {f"{p}/{s}" for p in ("int8", "int4") for s in PRECISIONS[p]}
    assert set(manifest.precision_errors) == expected
    for graph_name, error in manifest.precision_errors.items():
        limit = 0.3 if graph_name.startswith("int4") else 0.03
        assert 0 < error.relative_logit_error < limit, graph_name
        assert 0.4 < error.equal_argmax_share <= 1
        assert 0 < error.kl_divergence < 1
    assert not (quantized_bundle / "fp32").exists()


@pytest.mark.parametrize("stage", ["semantic", "coarse"])
def test_prefill_graph_shares_the_weights_of_the_decoding_graph(quantized_bundle: Path, stage: str):
    def places(precision: str) -> set[str]:
        path = quantized_bundle / precision / f"{stage}.prefill.onnx"
        model = onnx.load(path, load_external_data=False)
        return {
            entry.value
            for tensor in model.graph.initializer
            for entry in tensor.external_data
            if entry.key == "location"
        }

    own = f"{stage}.prefill.onnx.data"
    assert places("int8") == {f"{stage}.onnx.data"}
    assert not (quantized_bundle / "int8" / own).exists()
    assert places("int4") == {f"{stage}.onnx.data", own}
    assert (quantized_bundle / "int4" / own).stat().st_size < 200_000


def use_former_names(bundle: Path) -> None:
    """Rename prefill graphs and their weights to *.prompt.onnx, as earlier versions wrote them."""
    manifest = json.loads((bundle / "bark.json").read_text())
    for path in bundle.rglob("*.prefill.onnx"):
        model = onnx.load(path, load_external_data=False)
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                entry.value = entry.value.replace(".prefill.", ".prompt.")
        path.write_bytes(model.SerializeToString())
    for path in bundle.rglob("*.prefill.onnx*"):
        renamed = path.rename(path.with_name(path.name.replace(".prefill.", ".prompt.")))
        del manifest["files"][path.relative_to(bundle).as_posix()]
        manifest["files"][renamed.relative_to(bundle).as_posix()] = asdict(hash_file(renamed))
    (bundle / "bark.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_bundle_loads_with_the_former_names_of_prefill_graphs(
    quantized_bundle: Path, tmp_path: Path, precision: str
):
    former = Path(shutil.copytree(quantized_bundle, tmp_path / "former"))
    use_former_names(former)
    files = Manifest.read(former).stage_files(precision, "semantic")
    assert f"{precision}/semantic.prompt.onnx" in files
    assert (f"{precision}/semantic.prompt.onnx.data" in files) == (precision == "int4")
    assert not list(former.rglob("*.prefill.*"))
    prefill = Bundle(former).prefill_graph(precision, "semantic")
    assert prefill == former / precision / "semantic.prompt.onnx"
    speech, expected = (
        Bark.load(bundle, precision=precision).speak("Hello", seed=0, semantic_max_new_tokens=9)
        for bundle in (former, quantized_bundle)
    )
    np.testing.assert_array_equal(speech.samples, expected.samples)
    (former / precision / "semantic.prompt.onnx").unlink()
    with pytest.raises(BundleError, match=r"semantic\.prompt\.onnx is missing"):
        Bark.load(former, precision=precision)


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_batched_speech_equals_single_runs_at_lower_precisions(
    quantized_bundle: Path, precision: str
):
    bark = Bark.load(quantized_bundle, precision=precision, max_batch_size=3)
    options = dataclasses.replace(GenerationOptions.greedy(), semantic_max_new_tokens=40)
    texts = ["Hello", "Hello, my dog is cute", "a b", "What a day!"]
    voices = [None, "v2/en_speaker_0", None, None]
    together = bark.speak_batch(texts, voices=voices, options=options)
    for text, voice, speech in zip(texts, voices, together, strict=True):
        alone = bark.speak(text, voice=voice, options=options)
        np.testing.assert_array_equal(speech.fine_tokens, alone.fine_tokens)
        assert speech.samples.std() > 0.01


def test_int8_speech_equals_single_runs_under_load(quantized_bundle: Path):
    with Bark.load(quantized_bundle, precision="int8", max_batch_size=3, threads=1) as bark:
        alone = [bark.speak(**request) for request in REQUESTS]
        for speech, expected in zip(under_load(bark, 0), alone, strict=True):
            assert_same(speech, expected)


def test_bundle_loads_with_its_fastest_precision(quantized_bundle: Path):
    assert Bark.load(quantized_bundle).describe().precision == "int4"
    assert Bark.load(quantized_bundle, precision="int8").describe().precision == "int8"
    with pytest.raises(BundleError, match="has no fp32 graphs, only int8, int4; export with"):
        Bark.load(quantized_bundle, precision="fp32")
