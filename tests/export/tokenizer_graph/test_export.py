"""bark-export --tokenizer-graph: a file of the bundle like the others, which info describes."""

import shutil
import sys
from pathlib import Path

import pytest
from tokenizers.pre_tokenizers import WhitespaceSplit

from bark_onnx.export.checkpoints.checkpoint import Checkpoint
from bark_onnx.export.checkpoints.tokenizer import read_tokenizer
from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.bundle.manifest import TOKENIZER_GRAPH_NAME
from bark_onnx.graphs.errors import BundleError, ExportError
from bark_onnx.runtime.cli.info import print_bundle
from tests.conftest import MakeOnce, export
from tests.support.exporting import Run, assert_run_fails, export_quietly
from tests.support.messages import assert_one_line


@pytest.fixture(scope="module")
def with_graph(random_checkpoint: Path, make_once: MakeOnce) -> Path:
    return make_once(
        "bundles/tokenizer-graph",
        lambda target: export(random_checkpoint, target, tokenizer_graph=True),
    )


def test_graph_is_a_file_of_the_bundle(with_graph: Path, random_bundle: Path) -> None:
    bundle = Bundle(with_graph)
    assert bundle.tokenizer_graph() == with_graph / TOKENIZER_GRAPH_NAME
    assert bundle.manifest.files[TOKENIZER_GRAPH_NAME].size > 0
    assert Bundle(random_bundle).tokenizer_graph() is None
    found = bundle.manifest.fingerprint("fp32"), Bundle(random_bundle).manifest.fingerprint("fp32")
    assert found[0] == found[1], "the graph has no influence on speech"


def test_altered_graph_is_refused(with_graph: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(with_graph, tmp_path / "bundle")
    graph = folder / TOKENIZER_GRAPH_NAME
    content = bytearray(graph.read_bytes())
    content[-1] ^= 1
    graph.write_bytes(content)
    with pytest.raises(BundleError) as caught:
        Bundle(folder).tokenizer_graph()
    assert_one_line(caught.value, TOKENIZER_GRAPH_NAME, "sha256")


def test_info_describes_the_graph(
    with_graph: Path, random_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print_bundle(Bundle(with_graph))
    described = capsys.readouterr().out
    assert "\ntokenizer.onnx (contract " in described
    assert "  in  text: string[1] - " in described
    assert "  out text_tokens: int64[] - " in described
    print_bundle(Bundle(random_bundle))
    assert "tokenizer.onnx" not in capsys.readouterr().out


def test_missing_extra_is_named_before_anything_is_written(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime_extensions", None)
    with pytest.raises(ExportError) as caught:
        export_quietly(checkpoint, tmp_path / "bundle", tokenizer_graph=True)
    assert_one_line(caught.value, "--tokenizer-graph", "[tokenizer-graph]", "--no-verify")
    assert list(tmp_path.iterdir()) == []


def test_command_refuses_a_tokenizer_of_another_kind(
    random_checkpoint: Path, tmp_path: Path, run: Run
) -> None:
    folder = shutil.copytree(random_checkpoint, tmp_path / "checkpoint")
    tokenizer = read_tokenizer(folder)
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    result = run(folder, tmp_path / "bundle", "--tokenizer-graph", "--no-verify")
    assert_run_fails(result, 1, "WhitespaceSplit", "--tokenizer-graph")
    assert not (tmp_path / "bundle").exists()
