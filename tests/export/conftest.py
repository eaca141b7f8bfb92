"""bark-export in this process, how it must fail, one Bark in both layouts, and a hub's cache."""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import pytest

from bark_onnx.export.cli import command
from bark_onnx.graphs.command_line import run_command
from tests.support.messages import assert_one_line
from tests.support.suno import Twins, write_twins

REVISION = "0123456789abcdef0123456789abcdef01234567"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs bark-export in this process: exit status, stdout, stderr."""

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
    """An empty hub cache, and a working folder in which no id is a path."""
    folder = tmp_path / "hub"
    folder.mkdir()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def put_in_cache(cache: Path, repository: str, files: Path) -> Path:
    """Lay out a folder as a downloaded repository: blobs by hash, a snapshot of links to them."""
    home = cache / f"models--{repository.replace('/', '--')}"
    snapshot = home / "snapshots" / REVISION
    (home / "blobs").mkdir(parents=True)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(REVISION)
    for path in sorted(files.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            blob = home / "blobs" / hashlib.sha256(content).hexdigest()
            blob.write_bytes(content)
            link = snapshot / path.relative_to(files)
            link.parent.mkdir(parents=True, exist_ok=True)
            depth = len(link.relative_to(home).parts) - 1
            link.symlink_to(Path(*[".."] * depth, "blobs", blob.name))
    return snapshot


def failed(result: tuple[int, str, str], status: int, *words: str) -> None:
    """Check that a run printed nothing but progress and one line that says what is wrong."""
    code, out, err = result
    assert (code, out) == (status, "")
    *progress, line = err.rstrip("\n").split("\n")
    # click ends the line in which a terminal shows ^C.
    assert all(step.startswith("[") or not step for step in progress), err
    assert_one_line(line, "bark-export: ", *words)
