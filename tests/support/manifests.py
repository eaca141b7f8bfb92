"""Manifests in tests: one of a bundle with two files, changes to it, and errors."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bark_onnx.graphs.bundle.integrity import check_sizes
from bark_onnx.graphs.bundle.manifest import Manifest, ParityCase
from bark_onnx.graphs.errors import BundleError
from tests.support.messages import assert_one_line
from tests.support.sizes import SETTINGS, SHAPES


def manifest_with(**changes: Any) -> Manifest:
    manifest = Manifest(
        source="suno/bark-small",
        exporter="bark-onnx 0.1.0",
        attention="fused",
        precisions=("fp32", "int8"),
        opset=23,
        codec_opset=21,
        shapes=SHAPES,
        generation=SETTINGS,
        files={},
        parity={"fp32/fine": (ParityCase("batch 1", 1e-6, 2e-5), ParityCase("batch 2", 0.0, 1.0))},
    )
    return dataclasses.replace(manifest, **changes)


def rewrite_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "bark.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def assert_refused(folder: Path, *words: str) -> None:
    with pytest.raises(BundleError) as caught:
        check_sizes(folder, Manifest.read(folder).files)
    assert_one_line(caught.value, *words)
