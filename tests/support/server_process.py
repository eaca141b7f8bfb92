"""`bark-onnx serve` in a process of its own, on a real socket."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from tests.runtime.server.conftest import WAIT_SECONDS, wait_until

ENTRY_POINT = Path(sys.executable).with_name("bark-onnx")


@dataclass
class Started:
    """A server that is ready."""

    process: subprocess.Popen[str]
    url: str
    http: httpx2.Client
    log: list[dict[str, Any]]  # so far
    reader: threading.Thread  # of the log; ends with the process

    def metrics(self) -> dict[str, float]:
        """Values by name, labels included."""
        return read_metrics(self.http.get("/metrics").text)


def read_metrics(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


@contextmanager
def started(*arguments: object, **environment: str) -> Iterator[Started]:
    """The command on a free port, once it is ready; killed at the end."""
    process = subprocess.Popen(
        [ENTRY_POINT, "serve", "--port", "0", *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stderr is not None
    lines = iter(process.stderr.readline, "")
    log: list[dict[str, Any]] = []
    reader = threading.Thread(target=lambda: log.extend(map(json.loads, lines)))
    try:
        listening = json.loads(next(lines))
        assert listening["event"] == "listening"
        reader.start()
        with httpx2.Client(base_url=listening["url"], timeout=WAIT_SECONDS) as http:
            wait_until(lambda: http.get("/ready").status_code == 200)
            yield Started(process, listening["url"], http, log, reader)
    finally:
        process.kill()
        process.wait(WAIT_SECONDS)
        if reader.is_alive():
            reader.join(WAIT_SECONDS)
        process.stderr.close()
