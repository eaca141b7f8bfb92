"""Servers that listen on a free port of this machine, each in a thread of its own."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from bark_onnx.runtime import Bark
from bark_onnx.runtime.server.logs import log
from bark_onnx.runtime.server.server import DrainingServer, make_server, open_socket
from bark_onnx.runtime.server.service import SpeechService
from bark_onnx.runtime.server.settings import ServerSettings
from tests.support.scripted_bark import ScriptedBark

WAIT_SECONDS = 30.0  # longer than anything takes, so that a hang is a failure


@dataclass
class Running:
    """A server that listens."""

    url: str
    service: SpeechService
    server: DrainingServer
    thread: threading.Thread
    http: httpx2.Client

    def say(self, text: str = "Hello", **fields: Any) -> httpx2.Response:
        return self.http.post("/v1/audio/speech", json={"input": text, **fields})

    def connected(self) -> socket.socket:
        address = self.http.base_url
        return socket.create_connection((address.host, address.port), WAIT_SECONDS)

    def stop(self) -> None:
        self.server.stop()
        self.thread.join(WAIT_SECONDS)
        assert not self.thread.is_alive()


@contextmanager
def running(load: Callable[[], Any], *, waits: bool = True, **settings: Any) -> Iterator[Running]:
    """A server, from when it is ready to when it has stopped."""
    service = SpeechService(ServerSettings(**{"model_id": "scripted", **settings}), load)
    server = make_server(service)
    listener = open_socket("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    with httpx2.Client(base_url=url, timeout=WAIT_SECONDS) as http:
        found = Running(url, service, server, thread, http)
        try:
            while waits and http.get("/ready").status_code != 200:
                assert service.failure is None, service.failure
            yield found
        finally:
            found.stop()
            listener.close()


class Background(ThreadPoolExecutor):
    """Calls functions in other threads: `background(f, x)` is a future of f(x)."""

    def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        return self.submit(function, *args, **kwargs)


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for something that another thread does."""
    for _ in range(round(WAIT_SECONDS / 0.02)):
        if holds():
            return
        time.sleep(0.02)
    raise AssertionError("it never happened")


@pytest.fixture(scope="session")
def shared_bark() -> ScriptedBark:
    return ScriptedBark()


@pytest.fixture(scope="session")
def shared_server(shared_bark: ScriptedBark) -> Iterator[Running]:
    with running(lambda: shared_bark) as found:
        yield found


@pytest.fixture
def bark(shared_bark: ScriptedBark) -> ScriptedBark:
    shared_bark.reset()
    return shared_bark


@pytest.fixture
def served(shared_server: Running, bark: ScriptedBark) -> Running:
    """A server around `bark`, with the usual settings."""
    return shared_server


@pytest.fixture(scope="session")
def shared_impatient(shared_bark: ScriptedBark) -> Iterator[Running]:
    with running(lambda: shared_bark, client_seconds=0.4) as found:
        yield found


@pytest.fixture
def impatient(shared_impatient: Running, bark: ScriptedBark) -> Running:
    """A server around `bark` that waits for no client."""
    return shared_impatient


@pytest.fixture(scope="session")
def demo_server(demo_bundle: Any) -> Iterator[Running]:
    """A server around the demo, which really speaks."""
    with running(lambda: Bark.load(demo_bundle, threads=1, max_queue=64)) as found:
        yield found


class _Kept(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def lines() -> Iterator[list[logging.LogRecord]]:
    """What the server logs."""
    kept, level = _Kept(), log.level
    log.addHandler(kept)
    log.setLevel(logging.INFO)
    yield kept.records
    log.setLevel(level)
    log.removeHandler(kept)
