"""Servers on free ports, shared where a test does not stop them."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from bark_onnx.runtime import Bark
from bark_onnx.runtime.server.logs import log
from tests.support.scripted_bark import ScriptedBark
from tests.support.server_process import RunningServer, running_server


@pytest.fixture(scope="session")
def shared_bark() -> ScriptedBark:
    return ScriptedBark()


@pytest.fixture(scope="session")
def shared_server(shared_bark: ScriptedBark) -> Iterator[RunningServer]:
    with running_server(lambda: shared_bark) as found:
        yield found


@pytest.fixture
def bark(shared_bark: ScriptedBark) -> ScriptedBark:
    shared_bark.reset()
    return shared_bark


@pytest.fixture
def server(shared_server: RunningServer, bark: ScriptedBark) -> RunningServer:
    """A server of `bark` with default settings."""
    return shared_server


@pytest.fixture(scope="session")
def shared_strict_server(shared_bark: ScriptedBark) -> Iterator[RunningServer]:
    with running_server(lambda: shared_bark, client_seconds=0.4) as found:
        yield found


@pytest.fixture
def strict_server(shared_strict_server: RunningServer, bark: ScriptedBark) -> RunningServer:
    """A server of `bark` that drops slow clients after 0.4 s."""
    return shared_strict_server


@pytest.fixture(scope="session")
def random_server(random_bundle: Any) -> Iterator[RunningServer]:
    """A server of the random checkpoint's bundle."""
    with running_server(lambda: Bark.load(random_bundle, threads=1, max_queue=64)) as found:
        yield found


class _ListHandler(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def log_records() -> Iterator[list[logging.LogRecord]]:
    """Records that the server logs."""
    handler, level = _ListHandler(), log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield handler.records
    log.setLevel(level)
    log.removeHandler(handler)
