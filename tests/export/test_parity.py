"""Comparison of graphs with their torch modules."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

import bark_onnx.export.bundle as bundle_module
import bark_onnx.export.precision_error as precision_module
from bark_onnx.export.checkpoints.checkpoint import Checkpoint
from bark_onnx.export.parity import TOLERANCE, compare_stage
from bark_onnx.export.precision_error import compare_precision, precision_error
from bark_onnx.graphs.bundle.manifest import Manifest, PrecisionError
from bark_onnx.graphs.contract import STAGES, GraphContract, Stage, graph_contract
from bark_onnx.graphs.errors import ExportError
from tests.support.exporting import assert_export_fails
from tests.support.messages import assert_one_line
from tests.support.onnx_graphs import change_one_value, fp32_graph, parameters_of


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        ("semantic", "layers.1.layernorm_2.weight"),
        ("coarse", "layers.0.layernorm_1.weight"),
        ("fine", "layers.1.layernorm_1.bias"),
        ("codec", "layers.7.block.3.convolution.bias"),
    ],
)
def test_comparison_fails_when_a_single_value_is_altered(
    random_bundle: Path, checkpoint: Checkpoint, tmp_path: Path, stage: Stage, name: str
) -> None:
    model = fp32_graph(random_bundle, stage, weights=True)
    (tensor,) = (tensor for tensor in parameters_of(model) if tensor.name == name)
    change_one_value(tensor)
    path = tmp_path / f"{stage}.onnx"
    onnx.save(model, path)
    with (
        checkpoint.sub_model(stage) as module,
        pytest.raises(ExportError) as caught,
    ):
        compare_stage(checkpoint, stage, module, path, "fused")
    assert_one_line(
        caught.value, f"{stage}.onnx differs", "expected at most", "report", "--no-verify"
    )


def random_inputs(contract: GraphContract, manifest: Manifest) -> dict[str, Any]:
    """Inputs of one run of a few tokens or frames, without a cache."""
    rng = np.random.default_rng(0)
    if contract.stage == "codec":
        return {"codes": rng.integers(0, 1024, (4, 8, 60))}
    if contract.stage == "fine":
        return {
            "codes": rng.integers(0, 1024, (1, 60, 8)),
            "codebook_index": np.array(7),
            "frame_indices": np.arange(60),
        }
    shape = getattr(manifest.shapes, contract.stage)
    inputs: dict[str, Any] = {
        "input_ids": rng.integers(0, shape.input_vocabulary, (1, 40)),
        "position_ids": np.arange(40)[None],
    }
    if contract.stage == "semantic":
        inputs["history_ids"] = rng.integers(0, shape.input_vocabulary, (1, 40))
    empty = np.zeros((1, shape.num_heads, 0, shape.head_size), np.float32)
    return inputs | {
        tensor.name: empty for tensor in contract.inputs if tensor.name.startswith("past")
    }


@pytest.mark.parametrize("stage", STAGES)
def test_every_parameter_changes_the_output_of_its_graph(
    standard_bundle: Path, tmp_path: Path, stage: Stage
) -> None:
    # Otherwise, a swapped weight would not be noticed.
    manifest = Manifest.read(standard_bundle)
    inputs = random_inputs(graph_contract(stage, manifest.shapes, "standard"), manifest)
    model = fp32_graph(standard_bundle, stage, weights=True)
    weights = parameters_of(model)
    assert len(weights) >= 15

    def output() -> Any:
        session = onnxruntime.InferenceSession(model.SerializeToString())
        return session.run(None, inputs)[0]

    reference = output()
    allowed = TOLERANCE[stage] * max(1.0, float(np.abs(reference).max()))
    for tensor in weights:
        original = onnx.TensorProto()
        original.CopyFrom(tensor)
        array = numpy_helper.to_array(tensor) * np.float32(1.1)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
        assert np.abs(output() - reference).max() > allowed, tensor.name
        tensor.CopyFrom(original)


def test_export_writes_nothing_when_a_graph_differs_from_torch(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = bundle_module.save_graph

    def save_altered(graph: Any, path: Path) -> None:
        save(graph, path)
        model = onnx.load(path)
        (tensor,) = (
            tensor for tensor in parameters_of(model) if tensor.name == "layernorm_final.weight"
        )
        change_one_value(tensor)
        onnx.save(model, path)

    monkeypatch.setattr(bundle_module, "save_graph", save_altered)
    assert_export_fails(
        checkpoint, tmp_path / "bundle", "semantic.onnx differs", "expected at most"
    )
    assert list(tmp_path.iterdir()) == []


def test_weights_that_overflow_are_not_reported_as_a_wrong_graph(
    checkpoint: Checkpoint, random_bundle: Path
) -> None:
    with checkpoint.sub_model("semantic") as model:
        for parameter in model.parameters():
            parameter.mul_(1e38)
        path = random_bundle / "fp32" / "semantic.onnx"
        with pytest.raises(ExportError) as caught:
            compare_stage(checkpoint, "semantic", model, path, "fused")
    assert_one_line(caught.value, "semantic: its torch module computes NaN or infinity", "download")


def test_precision_whose_logits_overflow_is_named(
    checkpoint: Checkpoint, random_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = random_bundle / "fp32" / "fine.onnx"
    logits = np.full((2, 1024), np.inf, np.float32)
    monkeypatch.setattr(precision_module, "_fine_logits", lambda *_: (logits, logits))
    with pytest.raises(ExportError) as caught:
        compare_precision(checkpoint, "fine", path, path)
    assert_one_line(caught.value, "fp32/fine.onnx: its logits are NaN or infinite", "export")


def test_precision_error_is_finite_for_logits_of_zero() -> None:
    logits = np.zeros((2, 1024), np.float32)
    assert precision_error(logits, logits, 0.0) == PrecisionError(0.0, 1.0, 0.0)
