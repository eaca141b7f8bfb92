"""An onnxruntime that cannot be imported: missing, or present and broken."""

import sys
from pathlib import Path

import pytest

from bark_onnx.graphs.errors import ProviderError
from bark_onnx.graphs.installation import install_command
from bark_onnx.graphs.onnxruntime import import_onnxruntime
from tests.support.messages import assert_one_line


def test_missing_onnxruntime_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ProviderError) as caught:
        import_onnxruntime()
    assert_one_line(caught.value, "onnxruntime is not installed", install_command("cpu"))


@pytest.mark.parametrize(
    "code",
    [
        'raise ImportError("libonnxruntime.so: failed to map segment from shared object")',
        "import libonnxruntime_of_a_dream",
    ],
)
def test_broken_onnxruntime_is_not_reported_as_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str
) -> None:
    (tmp_path / "onnxruntime.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    with pytest.raises(ProviderError) as caught:
        import_onnxruntime()
    assert_one_line(caught.value, "is installed, but cannot be loaded", "libonnxruntime")
    assert "not installed" not in str(caught.value)


def test_onnxruntime_without_its_contents_is_recognized(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "onnxruntime" / "capi").mkdir(parents=True)  # what the other wheel left
    (tmp_path / "onnxruntime" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    with pytest.raises(ProviderError) as caught:
        import_onnxruntime()
    words = ("incomplete", "pip uninstall onnxruntime onnxruntime-gpu", install_command("gpu"))
    assert_one_line(caught.value, *words)
