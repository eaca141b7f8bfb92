"""bark-export in tests: its results and errors, contents of folders, and the hub's cache."""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bark_onnx.export.bundle import ExportOptions, export_bundle
from bark_onnx.export.checkpoints.checkpoint import Checkpoint
from bark_onnx.graphs.errors import ExportError
from tests.support.messages import assert_one_line

EXPORT = [sys.executable, "-m", "bark_onnx.export"]
REVISION = "0123456789abcdef0123456789abcdef01234567"

Run = Callable[..., tuple[int, str, str]]


def export_quietly(
    checkpoint: Checkpoint, target: Path, *, force: bool = False, **options: Any
) -> None:
    export_bundle(
        checkpoint, target, ExportOptions(**options), force=force, progress=lambda step: None
    )


def assert_export_fails(
    checkpoint: Checkpoint, target: Path, *words: str, force: bool = False
) -> None:
    with pytest.raises(ExportError) as caught:
        export_quietly(checkpoint, target, force=force)
    assert_one_line(caught.value, *words)


def assert_run_fails(result: tuple[int, str, str], status: int, *words: str) -> None:
    """Check that a run printed only progress, and one line with the error."""
    code, out, err = result
    assert (code, out) == (status, "")
    *progress, line = err.rstrip("\n").split("\n")
    # click ends the line in which a terminal shows ^C.
    assert all(step.startswith("[") or not step for step in progress), err
    assert_one_line(line, "bark-export: ", *words)


def contents(folder: Path) -> dict[str, bytes]:
    """Contents of all files in a folder, by path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


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
