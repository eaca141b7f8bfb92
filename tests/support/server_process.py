"""Servers for tests: in a thread of this process, or `bark-onnx serve` in its own process."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from bark_onnx.runtime.server.server import DrainingServer, make_server, open_socket
from bark_onnx.runtime.server.service import SpeechService
from bark_onnx.runtime.server.settings import ServerSettings

ENTRY_POINT = Path(sys.executable).with_name("bark-onnx")
WAIT_SECONDS = 30.0  # longer than anything takes, so that a hang is a failure


@dataclass
class RunningServer:
    """A server in a thread of this process."""

    url: str
    service: SpeechService
    server: DrainingServer
    thread: threading.Thread
    http: httpx2.Client

    def speak(self, text: str = "Hello", **fields: Any) -> httpx2.Response:
        return self.http.post("/v1/audio/speech", json={"input": text, **fields})

    def connect(self) -> socket.socket:
        address = self.http.base_url
        return socket.create_connection((address.host, address.port), WAIT_SECONDS)

    def stop(self) -> None:
        self.server.stop()
        self.join()

    def join(self) -> None:
        self.thread.join(WAIT_SECONDS)
        assert not self.thread.is_alive()


@contextmanager
def running_server(
    load: Callable[[], Any], *, wait: bool = True, **settings: Any
) -> Iterator[RunningServer]:
    """Run a server on a free port, from when it is ready until it has stopped."""
    service = SpeechService(ServerSettings(**{"model_id": "scripted", **settings}), load)
    server = make_server(service)
    listener = open_socket("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    with httpx2.Client(base_url=url, timeout=WAIT_SECONDS) as http:
        found = RunningServer(url, service, server, thread, http)
        try:
            while wait and http.get("/ready").status_code != 200:
                assert service.startup_error is None, service.startup_error
            yield found
        finally:
            found.stop()
            listener.close()


@dataclass
class ServerProcess:
    """A server in its own process."""

    process: subprocess.Popen[str]
    url: str
    http: httpx2.Client
    log: list[dict[str, Any]]  # lines so far
    reader: threading.Thread  # of the log; ends with the process

    def metrics(self) -> dict[str, float]:
        """Values by name, labels included."""
        return read_metrics(self.http.get("/metrics").text)


def _parse_line(line: str) -> dict[str, Any]:
    """A line of the log; one that is not JSON is an error."""
    try:
        return dict(json.loads(line))
    except ValueError:
        return {"level": "error", "event": "not JSON", "line": line}


def read_metrics(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


@contextmanager
def server_process(
    *arguments: object,
    max_files: int | None = None,
    program: tuple[object, ...] = (ENTRY_POINT, "serve"),
    **environment: str,
) -> Iterator[ServerProcess]:
    """Run the command on a free port, from when it is ready; killed at the end.

    Args:
        arguments: Arguments of the command.
        max_files: Number of files that the process may open; None: as many as the tests.
        program: Command that serves.
        environment: Further variables.
    """
    limit = ["prlimit", f"--nofile={max_files}"] if max_files is not None else []
    process = subprocess.Popen(
        [*limit, *map(str, program), "--port", "0", *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stderr is not None
    lines = iter(process.stderr.readline, "")
    log: list[dict[str, Any]] = []
    reader = threading.Thread(target=lambda: log.extend(map(_parse_line, lines)))
    try:
        listening = json.loads(next(lines))
        assert listening["event"] == "listening"
        reader.start()
        with httpx2.Client(base_url=listening["url"], timeout=WAIT_SECONDS) as http:
            wait_until(lambda: http.get("/ready").status_code == 200)
            yield ServerProcess(process, listening["url"], http, log, reader)
    finally:
        process.kill()
        process.wait(WAIT_SECONDS)
        if reader.is_alive():
            reader.join(WAIT_SECONDS)
        process.stderr.close()


class Background(ThreadPoolExecutor):
    """Calls functions in other threads: `background(f, x)` is a future of f(x)."""

    def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        return self.submit(function, *args, **kwargs)


def wait_until(holds: Callable[[], bool]) -> None:
    """Poll a condition that another thread or process fulfills."""
    for _ in range(round(WAIT_SECONDS / 0.02)):
        if holds():
            return
        time.sleep(0.02)
    raise AssertionError(f"the condition did not hold within {WAIT_SECONDS} s")
