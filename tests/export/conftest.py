"""bark-export in this process, one Bark in both layouts, and an empty hub cache."""

import sys
from pathlib import Path

import huggingface_hub.constants
import pytest

from bark_onnx.export.checkpoints.checkpoint import Checkpoint, open_checkpoint
from bark_onnx.export.cli import command
from bark_onnx.graphs.command_line import run_command
from tests.support.exporting import Run
from tests.support.suno import Twins, write_twins


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run bark-export in this process: exit status, stdout, stderr."""

    def run_here(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bark-export", *map(str, arguments)])
        status = 0
        try:
            run_command(command, "bark-export")
        except SystemExit as end:
            status = int(end.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run_here


@pytest.fixture(scope="session")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Twins:
    """Tests must not change them."""
    return write_twins(tmp_path_factory.mktemp("twins"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, and a working folder without paths that equal hub ids."""
    folder = tmp_path / "hub"
    folder.mkdir()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture(scope="session")
def checkpoint(random_checkpoint: Path) -> Checkpoint:
    return open_checkpoint(str(random_checkpoint))
