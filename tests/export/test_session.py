"""onnxruntime in the comparisons: its absence and its environment variables."""

import os
import sys
from pathlib import Path

import pytest
import torch

from bark_onnx.export.checkpoints.checkpoint import Checkpoint
from bark_onnx.export.parity import compare_stage
from bark_onnx.graphs.errors import ExportError
from bark_onnx.graphs.installation import install_command
from tests.support.messages import assert_one_line

SETTINGS = ("ORT_DISABLE_TELEMETRY", "ORT_GQA_DISABLE_FLASH_ATTENTION")


class _NoOnnxruntime:
    """An import finder without onnxruntime, which records the environment at its import."""

    def __init__(self) -> None:
        self.settings: list[tuple[str | None, ...]] = []

    def find_spec(self, name: str, *_: object) -> None:
        if name == "onnxruntime":
            self.settings.append(tuple(map(os.environ.get, SETTINGS)))
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def compare_without_onnxruntime(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[str | None, ...]]:
    finder = _NoOnnxruntime()
    monkeypatch.delitem(sys.modules, "onnxruntime")
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    with pytest.raises(ExportError) as caught:
        compare_stage(checkpoint, "codec", torch.nn.Identity(), tmp_path / "codec.onnx", "fused")
    assert_one_line(
        caught.value, "onnxruntime", "not installed", install_command("cpu"), "--no-verify"
    )
    return finder.settings


def test_comparison_names_the_package_when_onnxruntime_is_missing(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    # onnxruntime reads them when it is imported.
    assert compare_without_onnxruntime(checkpoint, tmp_path, monkeypatch) == [("1", "1")]


def test_environment_settings_of_onnxruntime_are_kept(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SETTINGS:
        monkeypatch.setenv(name, "0")
    assert compare_without_onnxruntime(checkpoint, tmp_path, monkeypatch) == [("0", "0")]
