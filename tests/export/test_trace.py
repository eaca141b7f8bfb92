"""Exported graphs: operators, contract, metadata."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import bark_onnx.export.bundle as bundle_module
from bark_onnx.export.checkpoints.checkpoint import Checkpoint
from bark_onnx.graphs.bundle.manifest import Manifest
from bark_onnx.graphs.contract import METADATA_KEY, STAGES, GraphContract, Stage, graph_contract
from tests.support.onnx_graphs import fp32_graph


def operators(model: onnx.ModelProto) -> set[tuple[str, str]]:
    assert not model.functions
    return {(node.domain, node.op_type) for node in model.graph.node}


@pytest.mark.parametrize("stage", STAGES)
def test_graphs_are_valid_onnx(standard_bundle: Path, stage: Stage) -> None:
    onnx.checker.check_model(standard_bundle / "fp32" / f"{stage}.onnx", full_check=True)


@pytest.mark.parametrize("stage", STAGES)
def test_standard_graphs_use_only_standard_operators(standard_bundle: Path, stage: Stage) -> None:
    model = fp32_graph(standard_bundle, stage)
    assert {domain for domain, _ in operators(model)} == {""}
    assert {opset.domain for opset in model.opset_import} == {""}
    assert (("", "Attention") in operators(model)) == (stage != "codec")


@pytest.mark.parametrize(
    ("stage", "operator"),
    [
        ("semantic", "GroupQueryAttention"),
        ("coarse", "GroupQueryAttention"),
        ("fine", "MultiHeadAttention"),
    ],
)
def test_fused_graphs_have_one_fused_operator_per_layer(
    random_bundle: Path, stage: Stage, operator: str
) -> None:
    model = fp32_graph(random_bundle, stage)
    fused = [node for node in model.graph.node if node.domain == "com.microsoft"]
    assert [node.op_type for node in fused] == [operator] * 2
    assert ("", "Attention") not in operators(model)


@pytest.mark.parametrize("attention", ["fused", "standard"])
@pytest.mark.parametrize("stage", STAGES)
def test_graphs_carry_and_match_their_contract(
    random_bundle: Path, standard_bundle: Path, stage: Stage, attention: Any
) -> None:
    folder = random_bundle if attention == "fused" else standard_bundle
    manifest = Manifest.read(folder)
    model = fp32_graph(folder, stage)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    contract = GraphContract.from_json(metadata[METADATA_KEY], stage)
    assert contract.to_json() == graph_contract(stage, manifest.shapes, attention).to_json()
    opset = manifest.codec_opset if stage == "codec" else manifest.opset
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == opset
    for values, tensors in (
        (model.graph.input, contract.inputs),
        (model.graph.output, contract.outputs),
    ):
        for value, tensor in zip(values, tensors, strict=True):
            kind = value.type.tensor_type
            axes = tuple(axis.dim_param or axis.dim_value for axis in kind.shape.dim)
            dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
            assert (value.name, dtype, axes) == (tensor.name, tensor.numpy_dtype, tensor.shape)
            assert value.doc_string == tensor.meaning


def test_codec_uses_an_opset_whose_elu_cuda_has(random_bundle: Path) -> None:
    assert Manifest.read(random_bundle).codec_opset <= 21


def test_graphs_contain_no_paths_or_modules_of_the_exporting_machine(random_bundle: Path) -> None:
    home = str(Path(bundle_module.__file__).parents[1]).encode()
    for stage in STAGES:
        content = (random_bundle / "fp32" / f"{stage}.onnx").read_bytes()
        assert home not in content
        assert b"site-packages" not in content
        assert b"transformers" not in content


@pytest.mark.parametrize("attention", ["fused", "standard"])
def test_fine_graph_reads_the_codebook_at_run_time(
    random_bundle: Path, standard_bundle: Path, checkpoint: Checkpoint, attention: str
) -> None:
    folder = random_bundle if attention == "fused" else standard_bundle
    session = onnxruntime.InferenceSession(folder / "fp32" / "fine.onnx")
    codes = np.random.default_rng(0).integers(0, 1024, (1, 40, 8))
    logits = [
        session.run(
            None,
            {"codes": codes, "codebook_index": np.array(index), "frame_indices": np.arange(40)},
        )[0]
        for index in range(1, 8)
    ]
    for index, found in enumerate(logits):
        for other in logits[index + 1 :]:
            assert np.abs(found - other).max() > 0.1
    # Codebooks after the predicted one are not read.
    codes[..., 4:] = 0
    zeroed = {"codes": codes, "codebook_index": np.array(3), "frame_indices": np.arange(40)}
    np.testing.assert_array_equal(session.run(None, zeroed)[0], logits[2])
