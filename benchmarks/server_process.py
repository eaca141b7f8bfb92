"""A server in a process of its own, for benchmarks."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click


@contextmanager
def running_server(folder: Path, arguments: list[str]) -> Iterator[tuple[str, int]]:
    """URL of a server that is ready, and its process id."""
    command = [sys.executable, "-m", "bark_onnx.runtime", "serve", "-m", str(folder)]
    process = subprocess.Popen(
        [*command, "--port", "0", "--max-queue", "1000", *arguments],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        url = _wait_until_ready(process.stderr)
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield url, process.pid
    finally:
        process.terminate()
        process.wait()


def _wait_until_ready(log: IO[str]) -> str:
    url = ""
    for line in log:
        if not line.startswith("{"):
            raise click.ClickException(line.strip())
        event = json.loads(line)
        url = event.get("url", url)
        if event["event"] == "ready":
            return url
    raise click.ClickException("the server ended before it was ready")
