"""bark-onnx batch, killed at any moment and started again: nothing twice, and nothing lost."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.killed_batches import ROWS

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[3]


def contents(folder: Path) -> dict[str, bytes]:
    """All files, hidden ones too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_batch_that_is_killed_at_each_step_and_at_twenty_random_times_equals_a_whole_one(
    random_bundle: Path, tmp_path: Path
) -> None:
    words = ("-m", "tests.support.killed_batches", random_bundle, tmp_path, "--kills", 20)
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["kills"] >= 20
    assert set(found["statuses"]) == {0}
    whole = contents(tmp_path / "whole")
    assert len([name for name in whole if name.endswith(".wav")]) == ROWS
    for name in found["folders"]:
        resumed = contents(tmp_path / name)
        assert resumed.keys() == whole.keys(), name
        assert [path for path in whole if resumed[path] != whole[path]] == [], name
