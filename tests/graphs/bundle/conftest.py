"""A bundle with two files."""

from pathlib import Path

import pytest

from bark_onnx.graphs.bundle.integrity import hash_file
from tests.support.manifests import manifest_with


@pytest.fixture
def small_bundle(tmp_path: Path) -> Path:
    """A folder with two files and the bark.json that lists them."""
    folder = tmp_path / "bundle"
    (folder / "fp32").mkdir(parents=True)
    (folder / "tokenizer.json").write_text("{}")
    (folder / "fp32" / "fine.onnx").write_bytes(b"graph")
    manifest = manifest_with(
        files={name: hash_file(folder / name) for name in ("tokenizer.json", "fp32/fine.onnx")}
    )
    (folder / "bark.json").write_text(manifest.to_json())
    return folder
