"""Slow and surplus connections are dropped, without effect on others."""

import contextlib
import json
import logging
import select
import socket
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

import bark_onnx.runtime.server.server as server_module
from bark_onnx.runtime.server.connections import IdleConnectionReaper
from tests.runtime.server.test_speech import refused
from tests.support.scripted_bark import RATE_HZ, ScriptedBark
from tests.support.server_process import Background, RunningServer, running_server, wait_until

SPEECH = "/v1/audio/speech"


class FakeConnection:
    """The parts of uvicorn's protocol that the reaper reads."""

    def __init__(self) -> None:
        self.cycle: Any = None
        self.unsent = 0
        self.is_dropped = False
        self.transport = SimpleNamespace(
            get_write_buffer_size=lambda: self.unsent,
            abort=lambda: setattr(self, "is_dropped", 1),
            get_extra_info=lambda name: None,
        )

    def request(self) -> "FakeConnection":
        self.cycle = SimpleNamespace(response_complete=False)
        return self


def make_reaper(limit: int = 100) -> IdleConnectionReaper:
    return IdleConnectionReaper(client_seconds=10, request_seconds=100, limit=limit)


def sweeps(reaper: IdleConnectionReaper, connection: FakeConnection, *moments: float) -> list[bool]:
    """Whether a connection is dropped after a sweep at each moment."""
    dropped = []
    for now in moments:
        reaper.sweep([] if connection.is_dropped else [connection], now)  # type: ignore[list-item]
        dropped.append(bool(connection.is_dropped))
    return dropped


def test_connection_without_a_complete_request_is_dropped() -> None:
    assert sweeps(make_reaper(), FakeConnection(), 0, 5, 10, 11) == [False, False, False, True]


def test_connection_that_waits_for_a_response_is_kept() -> None:
    assert sweeps(make_reaper(), FakeConnection().request(), 0, 50, 99, 1000) == [False] * 4


def test_client_time_restarts_with_each_response() -> None:
    reaper, connection = make_reaper(), FakeConnection().request()
    assert sweeps(reaper, connection, 0, 50) == [False, False]
    connection.cycle.response_complete = True
    assert sweeps(reaper, connection, 51, 60) == [False, False]
    connection.request()
    assert sweeps(reaper, connection, 61, 99) == [False, False]
    connection.cycle.response_complete = True
    assert sweeps(reaper, connection, 100, 111) == [False, True]


@pytest.mark.parametrize("is_answered", [False, True])
def test_connection_that_does_not_read_is_dropped(is_answered: bool) -> None:
    reaper, connection = make_reaper(), FakeConnection().request()
    connection.cycle.response_complete = is_answered
    connection.unsent = 1000
    assert sweeps(reaper, connection, 0, 9) == [False, False]
    connection.unsent = 999
    assert sweeps(reaper, connection, 10, 20) == [False, False]
    assert sweeps(reaper, connection, 21) == [True]


def test_connection_that_reads_slowly_is_dropped_after_the_request_time() -> None:
    reaper, connection = make_reaper(), FakeConnection().request()
    for now in range(0, 101, 5):
        connection.unsent = 1000 - now
        assert sweeps(reaper, connection, now) == [False]
    connection.unsent = 1
    assert sweeps(reaper, connection, 101) == [True]


def test_longest_idle_connections_are_dropped_beyond_the_limit() -> None:
    reaper = make_reaper(limit=3)
    busy, oldest, newest, reading = (FakeConnection() for _ in range(4))
    busy.request()
    reading.unsent = 10
    reaper.sweep([busy, oldest], 0)  # type: ignore[list-item]
    reaper.sweep([busy, oldest, newest, reading], 1)  # type: ignore[list-item]
    assert [bool(each.is_dropped) for each in (busy, oldest, newest, reading)] == [
        False,
        True,
        False,
        False,
    ]


# On a socket


def speech_request(**fields: Any) -> bytes:
    body = json.dumps({"input": "Hello", "response_format": "pcm", **fields})
    head = f"POST {SPEECH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    "begin", [b"", b"GET / HT", b"POST /v1/audio/speech HTTP/1.1\r\nhost: x\r\n"]
)
def test_connection_with_an_incomplete_head_is_dropped(
    strict_server: RunningServer, log_records: list[logging.LogRecord], begin: bytes
) -> None:
    with strict_server.connect() as raw:
        raw.sendall(begin)
        assert raw.makefile("rb").read() == b""
    dropped = [record for record in log_records if record.getMessage() == "dropped"]
    assert {record.fields["reason"] for record in dropped} == {"too slow"}  # type: ignore[attr-defined]


def test_connection_with_an_unread_body_is_dropped(strict_server: RunningServer) -> None:
    head = "GET /health HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n"
    with strict_server.connect() as raw, contextlib.suppress(ConnectionError):
        raw.sendall(head.encode())
        response = raw.recv(10_000)
        while True:  # single bytes do not keep the connection open
            raw.settimeout(0.1)
            with contextlib.suppress(TimeoutError):
                if not raw.recv(1000):
                    break
            raw.sendall(b"x")
    assert response.startswith(b"HTTP/1.1 200")


def test_client_that_does_not_read_is_dropped_and_blocks_no_other(
    strict_server: RunningServer, bark: ScriptedBark
) -> None:
    bark.seconds = 400.0  # 19 MB: more than any buffer on the way
    with strict_server.connect() as raw:
        raw.sendall(speech_request())
        assert raw.recv(5).startswith(b"HTTP")
        bark.seconds = 0.1
        assert len(strict_server.speak(response_format="pcm").content) == 2 * RATE_HZ // 10
        wait_until(lambda: strict_server.service.admission.running == 0)
        with contextlib.suppress(ConnectionResetError):
            while raw.recv(1 << 20):
                pass
    assert 'outcome="cancelled"} 1.0' in strict_server.http.get("/metrics").text


def test_server_stops_while_a_client_does_not_read(
    bark: ScriptedBark, monkeypatch: pytest.MonkeyPatch, log_records: list[logging.LogRecord]
) -> None:
    monkeypatch.setattr(server_module, "_FLUSH_SECONDS", 0.2)
    bark.seconds = 400.0
    with running_server(lambda: bark, shutdown_seconds=0.2) as server, server.connect() as raw:
        raw.sendall(speech_request(stream_format="sse"))
        assert raw.recv(5).startswith(b"HTTP")
        server.stop()
    reasons = [getattr(record, "fields", {}).get("reason") for record in log_records]
    assert "shutting down" in reasons


def test_idle_connections_do_not_block_new_ones(bark: ScriptedBark) -> None:
    with (
        running_server(lambda: bark, max_connections=50) as server,
        contextlib.ExitStack() as opened,
    ):
        idle = [opened.enter_context(server.connect()) for _ in range(200)]
        assert server.speak().status_code == 200
        wait_until(lambda: len(server.server.server_state.connections) <= 50)
        wait_until(lambda: len(select.select(idle, [], [], 0)[0]) >= 150)  # closed by the server


def test_requests_beyond_the_connection_limit_are_refused(bark: ScriptedBark) -> None:
    bark.completes = False
    with running_server(lambda: bark, max_connections=2) as server, Background() as background:
        admitted = [
            background(httpx2.post, f"{server.url}{SPEECH}", json={"input": "Hello"})
            for _ in range(2)
        ]
        bark.wait_for_futures(2)
        wait_until(lambda: server.service.admission.running == 2)
        response = server.speak()
        assert refused(response, 429, "--max-connections")["code"] == "queue_full"
        assert int(response.headers["retry-after"]) >= 1
        for future in bark.futures:
            future.finish()
        assert {future.result().status_code for future in admitted} == {200}


def test_connection_that_is_reset_immediately_is_ignored(server: RunningServer) -> None:
    with server.connect() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert server.speak().status_code == 200
