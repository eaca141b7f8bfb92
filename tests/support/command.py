"""Runs the installed bark-onnx, and checks the results of commands."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.messages import assert_one_line

Result = tuple[int, str, str]  # exit status, stdout, stderr
Run = Callable[..., Result]

ENTRY_POINT = Path(sys.executable).with_name("bark-onnx")


def assert_fails(result: Result, status: int, *words: str) -> None:
    """Check the exit status and an error of one line that contains `words`."""
    code, out, err = result
    assert (code, out) == (status, ""), err
    assert_one_line(err.removesuffix("\n"), "bark-onnx: ", *words)


def output_of(result: Result) -> str:
    """Standard output of a command that succeeded without a warning."""
    status, out, err = result
    assert (status, err) == (0, "")
    return out


def run_installed(*arguments: object, stdin: bytes = b"", **environment: str) -> Result:
    """Run the installed command in a process of its own."""
    done = subprocess.run(
        [ENTRY_POINT, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        env={**os.environ, **environment},
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def wait_for_partial(process: subprocess.Popen[str], folder: Path, size: int = 50_000) -> None:
    """Wait until a process has written so many bytes to a file that has no name yet, or ended."""
    while process.poll() is None and not any(
        size_of(path) > size for path in folder.glob(".*.partial")
    ):
        time.sleep(0.02)


def size_of(path: Path) -> int:
    """Size of a file that may be gone."""
    return path.stat().st_size if path.exists() else 0
