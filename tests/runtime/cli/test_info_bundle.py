"""bark-onnx info: descriptions of bundles."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.bundle.manifest import Manifest, PrecisionError
from bark_onnx.graphs.contract import STAGES
from tests.support.command import Run, output_of


@pytest.mark.parametrize("form", ["fused", "standard"])
def test_info_prints_every_input_and_output_of_the_contract(
    run: Run, random_bundle: Path, standard_bundle: Path, form: str
) -> None:
    folder = random_bundle if form == "fused" else standard_bundle
    bundle = Bundle(folder)
    out = output_of(run("info", "-m", folder))
    sections = dict(zip(STAGES, out.split("\n\n")[1:], strict=True))
    for stage in STAGES:
        contract = bundle.contract(stage, "fp32")
        lines = sections[stage].splitlines()
        assert lines[0].startswith(f"{stage}.onnx")
        assert len(lines) == 1 + len(contract.inputs) + len(contract.outputs)
        for way, tensors in (("in", contract.inputs), ("out", contract.outputs)):
            for tensor in tensors:
                (line,) = (line for line in lines if line.split()[:2] == [way, f"{tensor.name}:"])
                axes = ", ".join(map(str, tensor.shape))
                assert f"{tensor.name}: {tensor.dtype}[{axes}]" in line
                assert tensor.meaning in line


def test_info_prints_the_manifest(run: Run, random_bundle: Path) -> None:
    out = output_of(run("info", "-m", random_bundle))
    manifest = Bundle(random_bundle).manifest
    head = dict(
        line.split(maxsplit=1) for line in out.split("\n\n")[0].splitlines() if "parity" not in line
    )
    expected = SimpleNamespace(
        bundle=str(random_bundle),
        source=manifest.source,
        exporter=manifest.exporter,
        attention="fused",
        audio="24000 Hz",
        voices="1",
    )
    for key, value in vars(expected).items():
        assert head[key] == value
    assert "fp32" in head["precisions"]
    for graph in manifest.parity:
        assert f"{graph}: " in out


def test_info_replaces_control_characters_of_the_manifest(run: Run, bundle: Path) -> None:
    manifest = Manifest.read(bundle)
    steering = dataclasses.replace(
        manifest,
        source="de\x1b[2Jmo",
        exporter="bark\x9b2J",
        parity={f"\x1b[2J{graph}": cases for graph, cases in manifest.parity.items()},
        precision_errors={"fp16/\x07semantic": PrecisionError(0.1, 0.9, 0.01)},
    )
    (bundle / "bark.json").write_text(steering.to_json(), encoding="utf-8")
    out = output_of(run("info", bundle))
    assert "de [2Jmo" in out
    assert "fp16/ semantic: logits" in out
    assert all(character.isprintable() or character == "\n" for character in out)
