"""Manifests of exported bundles."""

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

import bark_onnx.export.bundle as bundle_module
from bark_onnx.export.bundle import ExportOptions, export_bundle
from bark_onnx.export.checkpoints.checkpoint import Checkpoint
from bark_onnx.graphs.bundle.manifest import Manifest
from bark_onnx.graphs.contract import STAGES
from bark_onnx.graphs.errors import ExportError
from tests.support.exporting import contents, export_quietly


def test_manifest_lists_every_file_with_size_and_checksum(random_bundle: Path) -> None:
    manifest = Manifest.read(random_bundle)
    found = {
        name: (len(content), hashlib.sha256(content).hexdigest())
        for name, content in contents(random_bundle).items()
        if name != "bark.json"
    }
    assert found == {name: (record.size, record.sha256) for name, record in manifest.files.items()}
    graphs = {f"fp32/{stage}.onnx{suffix}" for stage in STAGES for suffix in ("", ".data")}
    assert set(found) == {"tokenizer.json", "voices/v2/en_speaker_0.npz", *graphs}


def test_manifest_describes_the_export(
    random_bundle: Path, standard_bundle: Path, checkpoint: Checkpoint
) -> None:
    from importlib.metadata import version

    manifest = Manifest.read(random_bundle)
    assert manifest.source == checkpoint.source
    assert manifest.exporter == f"bark-onnx {version('bark-onnx')}"
    assert (manifest.attention, manifest.precisions) == ("fused", ("fp32",))
    assert Manifest.read(standard_bundle).attention == "standard"
    assert (manifest.shapes, manifest.generation) == (checkpoint.shapes, checkpoint.generation)


@pytest.mark.parametrize("attention", ["fused", "standard"])
def test_manifest_holds_the_comparison_with_torch(
    random_bundle: Path, standard_bundle: Path, attention: str
) -> None:
    parity = Manifest.read(random_bundle if attention == "fused" else standard_bundle).parity
    assert set(parity) == {f"fp32/{stage}" for stage in STAGES}
    for cases in parity.values():
        assert len(cases) >= 5
        assert len({case.case for case in cases}) == len(cases)
        for case in cases:
            assert 0 <= case.largest_difference <= case.tolerance < 0.01
        # A comparison that finds no difference at all between two programs compared nothing.
        assert max(case.largest_difference for case in cases) > 0


def test_exports_of_one_checkpoint_share_every_byte(
    checkpoint: Checkpoint, random_bundle: Path, standard_bundle: Path
) -> None:
    # Only the graphs with attention differ between the two forms.
    first, second = Manifest.read(random_bundle).files, Manifest.read(standard_bundle).files
    for name in ("tokenizer.json", "voices/v2/en_speaker_0.npz", "fp32/codec.onnx.data"):
        assert first[name] == second[name], name
    assert json.loads((random_bundle / "bark.json").read_text())["source"] == checkpoint.source


def test_source_that_is_not_unicode_can_be_read_back(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle_module, "_export_graphs", lambda *_: {})
    monkeypatch.setattr(bundle_module, "_export_precisions", lambda *_: {})
    changed = dataclasses.replace(checkpoint, source="bark-\udcff")
    export_quietly(changed, tmp_path / "bundle")
    assert Manifest.read(tmp_path / "bundle").source == "bark-\\udcff"


@pytest.mark.parametrize(("voices", "counted"), [("all", "1 voice"), ("none", "0 voices")])
def test_progress_counts_one_voice_as_one(
    checkpoint: Checkpoint, tmp_path: Path, voices: str, counted: str
) -> None:
    def end(step: str) -> None:
        raise ExportError(step)

    with pytest.raises(ExportError, match=f"^tokenizer and {counted}$"):
        export_bundle(
            checkpoint, tmp_path / "b", ExportOptions(voices=voices), force=False, progress=end
        )
    assert list(tmp_path.iterdir()) == []
