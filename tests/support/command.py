"""Runs bark-onnx in a subprocess, and checks what a command printed."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.support.messages import assert_one_line

Result = tuple[int, str, str]  # exit status, stdout, stderr
Run = Callable[..., Result]

ENTRY_POINT = Path(sys.executable).with_name("bark-onnx")


def failed(result: Result, status: int, *words: str) -> None:
    code, out, err = result
    assert (code, out) == (status, ""), err
    assert_one_line(err.removesuffix("\n"), "bark-onnx: ", *words)


def worked(result: Result) -> str:
    status, out, err = result
    assert (status, err) == (0, "")
    return out


def outside(*arguments: object, stdin: bytes = b"", **environment: str) -> Result:
    done = subprocess.run(
        [ENTRY_POINT, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        env={**os.environ, **environment},
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()
