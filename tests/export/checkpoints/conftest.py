"""Checkpoints that a test may change, in both layouts."""

import shutil
from pathlib import Path

import pytest

from bark_onnx.export.random_bark import write_checkpoint
from tests.support.checkpoints import TINY
from tests.support.suno import Twins


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tests must not change it."""
    folder = tmp_path_factory.mktemp("tiny") / "checkpoint"
    write_checkpoint(folder, TINY)
    return folder


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint of one layer that a test may change."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint"))


@pytest.fixture
def suno_folder(twins: Twins, tmp_path: Path) -> Path:
    """Suno's files, of which a test may replace any."""
    target = tmp_path / "suno"
    target.mkdir()
    for path in twins.suno.iterdir():
        (target / path.name).symlink_to(path)
    return target
