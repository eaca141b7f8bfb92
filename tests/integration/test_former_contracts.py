"""Bundles of contracts 1 and 2 beside those of today.

Graphs of contract 1 fix the length of the cache buffer, and those of both return all logits alone.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bark_onnx.graphs.errors import BundleError, ContractError
from bark_onnx.runtime import Bark, GenerationOptions
from tests.support.command import Run, output_of
from tests.support.former_contracts import use_contract
from tests.support.manifests import rewrite_manifest
from tests.support.messages import assert_one_line

OPTIONS = GenerationOptions(semantic_max_new_tokens=40)
TEXTS = ("Hello", "Good morning to you", "Bye")


@pytest.fixture(scope="module")
def former_bundles(half_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """The random checkpoint in fp32, fp16 and int8, as earlier versions exported it."""
    targets = {}
    for version in (1, 2):
        targets[version] = tmp_path_factory.mktemp("former") / "bundle"
        shutil.copytree(half_bundle, targets[version])
        use_contract(targets[version], version)
    return targets


@pytest.fixture(scope="module")
def former_bundle(former_bundles: dict[int, Path]) -> Path:
    """The bundle of contract 1."""
    return former_bundles[1]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_bundle_of_a_former_contract_speaks_the_same(
    former_bundles: dict[int, Path], half_bundle: Path, precision: str, version: int
):
    found, expected = (
        Bark.load(folder, provider="cpu", precision=precision).speak_batch(
            TEXTS, seed=0, options=OPTIONS
        )
        for folder in (former_bundles[version], half_bundle)
    )
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours.semantic_tokens, theirs.semantic_tokens)
        np.testing.assert_array_equal(ours.fine_tokens, theirs.fine_tokens)
        np.testing.assert_array_equal(ours.samples, theirs.samples)


def test_info_shows_the_fixed_length_of_the_first_contract(former_bundle: Path, run: Run):
    shown = output_of(run("info", "-m", former_bundle))
    assert "semantic.onnx (contract 1)" in shown
    assert "float32[batch, 2, 1024, 32]" in shown
    assert "buffer]" not in shown


def test_graphs_of_the_first_contract_are_refused_in_a_bundle_of_the_second(
    former_bundle: Path, tmp_path: Path
):
    bundle = Path(shutil.copytree(former_bundle, tmp_path / "bundle"))
    rewrite_manifest(bundle, lambda data: data.update(contract_version=2))
    with pytest.raises(ContractError) as caught:
        Bark.load(bundle, provider="cpu", precision="fp32")
    words = ("its contract is not the one that bark.json implies", "export the bundle again")
    assert_one_line(caught.value, "semantic.onnx", *words)


def test_a_bundle_of_a_later_contract_is_refused_with_update_as_remedy(bundle: Path):
    rewrite_manifest(bundle, lambda data: data.update(contract_version=4))
    assert json.loads((bundle / "bark.json").read_text())["contract_version"] == 4
    with pytest.raises(BundleError) as caught:
        Bark.load(bundle)
    assert_one_line(caught.value, "contract_version is 4, expected 1 to 3; update bark-onnx")
