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
from bark_onnx.runtime.server.connections import Connection
from bark_onnx.runtime.server.reaper import ConnectionReaper
from tests.runtime.server.test_speech import refused
from tests.support.scripted_bark import RATE_HZ, ScriptedBark
from tests.support.server_process import Background, RunningServer, running_server, wait_until

SPEECH = "/v1/audio/speech"


class FakeConnection:
    """The parts of a connection that the reaper reads."""

    is_answered, phase = Connection.is_answered, Connection.phase

    def __init__(self, *, begun: bytes = b"") -> None:
        self.cycle: Any = None
        self.conn = SimpleNamespace(trailing_data=(begun, False))
        self.unsent = 0
        self.is_dropped = False
        self.transport = SimpleNamespace(get_write_buffer_size=lambda: self.unsent)

    def drop(self) -> None:
        self.is_dropped = True

    def request(self, *, more_body: bool = False) -> "FakeConnection":
        self.cycle = SimpleNamespace(response_complete=False, more_body=more_body)
        return self

    def respond(self) -> "FakeConnection":
        self.cycle.response_complete = True
        return self

    def leave_unread(self, size: int) -> "FakeConnection":
        self.unsent = size
        return self


class Reaper(ConnectionReaper):
    """A reaper whose clock is set by a test."""

    def __init__(self, limit: int = 100) -> None:
        self.now = 0.0
        super().__init__(
            client_seconds=10, request_seconds=100, limit=limit, clock=lambda: self.now
        )

    def connect(self, connection: FakeConnection, now: float = 0) -> FakeConnection:
        self.now = now
        self.add(connection)  # type: ignore[arg-type]
        return connection

    def sweep_at(self, *moments: float) -> None:
        for self.now in moments:
            self.sweep()


def sweeps(reaper: Reaper, connection: FakeConnection, *moments: float) -> list[bool]:
    """Whether a connection is dropped after a sweep at each moment."""
    dropped = []
    for moment in moments:
        reaper.sweep_at(moment)
        dropped.append(connection.is_dropped)
    return dropped


def test_connection_without_a_complete_request_is_dropped() -> None:
    connection = (reaper := Reaper()).connect(FakeConnection())
    assert sweeps(reaper, connection, 0, 5, 10, 11) == [False, False, False, True]


def test_connection_that_waits_for_a_response_is_kept() -> None:
    connection = (reaper := Reaper()).connect(FakeConnection().request())
    assert sweeps(reaper, connection, 0, 50, 99, 1000) == [False] * 4


def test_client_time_restarts_with_each_response() -> None:
    connection = (reaper := Reaper()).connect(FakeConnection().request())
    assert sweeps(reaper, connection, 0, 50) == [False, False]
    connection.respond()
    assert sweeps(reaper, connection, 51, 60) == [False, False]
    connection.request()
    assert sweeps(reaper, connection, 61, 99) == [False, False]
    connection.respond()
    assert sweeps(reaper, connection, 100, 111) == [False, True]


@pytest.mark.parametrize("is_answered", [False, True])
def test_connection_that_does_not_read_is_dropped(is_answered: bool) -> None:
    connection = (reaper := Reaper()).connect(FakeConnection().request())
    connection.cycle.response_complete = is_answered
    connection.unsent = 1000
    assert sweeps(reaper, connection, 0, 9) == [False, False]
    connection.unsent = 999
    assert sweeps(reaper, connection, 10, 20) == [False, False]
    assert sweeps(reaper, connection, 21) == [True]


def test_growing_unread_response_is_no_progress_of_the_client() -> None:
    connection = (reaper := Reaper()).connect(FakeConnection().request())
    assert sweeps(reaper, connection, 0, 50) == [False, False]
    for now in range(51, 62):
        connection.unsent += 1000
        assert sweeps(reaper, connection, now) == [False]
    connection.unsent += 1000
    assert sweeps(reaper, connection, 62) == [True]


def test_connection_that_reads_slowly_is_dropped_after_the_request_time() -> None:
    connection = (reaper := Reaper()).connect(FakeConnection().request())
    for now in range(0, 101, 5):
        connection.unsent = 1000 - now
        assert sweeps(reaper, connection, now) == [False]
    connection.unsent = 1
    assert sweeps(reaper, connection, 101) == [True]


def test_order_in_which_surplus_connections_are_dropped() -> None:
    """Unfinished requests and unread responses go first, oldest first; then idle clients."""
    reaper = Reaper(limit=8)
    made = {
        "idle, older": lambda: FakeConnection().request().respond(),
        "busy": lambda: FakeConnection().request(),
        "unread": lambda: FakeConnection().request().leave_unread(9),
        "silent": FakeConnection,
        "body": lambda: FakeConnection().request(more_body=True),
        "rest of a body": lambda: FakeConnection().request(more_body=True).respond(),
        "next head": lambda: FakeConnection(begun=b"GET").request().respond(),
        "idle, newer": lambda: FakeConnection().request().respond(),
    }
    connections = {}
    for now, (name, make) in enumerate(made.items()):
        connections[name] = reaper.connect(make(), now)
        reaper.sweep_at(now)
    dropped: list[str] = []
    for _ in range(9):
        busy = reaper.connect(FakeConnection().request(), 9)
        dropped += [
            name for name, each in connections.items() if each.is_dropped and name not in dropped
        ]
        assert reaper.open <= 8
    assert dropped == [
        *("unread", "silent", "body", "rest of a body", "next head"),
        *("idle, older", "idle, newer"),
    ]
    assert not connections["busy"].is_dropped
    assert busy.is_dropped, "a newcomer is dropped where all others are busy"


def test_pipelines_go_before_newcomers_however_often_they_change() -> None:
    reaper = Reaper(limit=2)
    pipeline = reaper.connect(FakeConnection(begun=b"GET").request(), 0)
    newcomer = reaper.connect(FakeConnection(), 1)
    pipeline.request()  # the next one
    reaper.connect(FakeConnection(), 2)
    assert pipeline.is_dropped
    assert not newcomer.is_dropped


def test_a_connection_that_became_busy_is_not_dropped() -> None:
    reaper = Reaper(limit=3)
    first, second, third = (reaper.connect(FakeConnection(), now) for now in range(3))
    reaper.connect(FakeConnection(), 4)  # one sort, for several newcomers
    assert first.is_dropped
    second.request()
    reaper.connect(FakeConnection(), 4)
    assert not second.is_dropped
    assert third.is_dropped


def test_pipelines_are_few() -> None:
    reaper = Reaper()
    pipelines = [reaper.connect(FakeConnection(begun=b"GET").request(), now) for now in range(40)]
    reaper.sweep_at(40)
    assert [each.is_dropped for each in pipelines] == [True] * 8 + [False] * 32


def test_reaper_counts_connections_until_their_files_are_closed() -> None:
    reaper = Reaper(limit=1)
    first, second = (reaper.connect(FakeConnection()) for _ in range(2))
    assert (reaper.open, reaper.closing) == (1, 1)
    reaper.discard(first)  # type: ignore[arg-type]
    reaper.discard(second)  # type: ignore[arg-type]
    assert (reaper.open, reaper.closing) == (0, 0)


def test_dropped_connections_are_logged_by_their_number(
    log_records: list[logging.LogRecord],
) -> None:
    reaper = Reaper(limit=10)
    for _ in range(1000):
        reaper.connect(FakeConnection())
    reaper.sweep_at(0, 0.1, 0.2, 0.3)
    (record,) = log_records
    assert record.fields == {"reason": "too many", "connections": 990}  # type: ignore[attr-defined]


# On a socket


def speech_request(**fields: Any) -> bytes:
    body = json.dumps({"input": "Hello", "response_format": "pcm", **fields})
    head = f"POST {SPEECH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    "begin", [b"", b"GET / HT", b"POST /v1/audio/speech HTTP/1.1\r\nhost: localhost\r\n"]
)
def test_connection_with_an_incomplete_head_is_dropped(
    strict_server: RunningServer, log_records: list[logging.LogRecord], begin: bytes
) -> None:
    with strict_server.connect() as raw:
        raw.sendall(begin)
        assert raw.makefile("rb").read() == b""
    wait_until(lambda: any(record.getMessage() == "dropped" for record in log_records))
    dropped = [record for record in log_records if record.getMessage() == "dropped"]
    assert {record.fields["reason"] for record in dropped} == {"too slow"}  # type: ignore[attr-defined]


def test_connection_with_an_unread_body_is_dropped(strict_server: RunningServer) -> None:
    head = "GET /health HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99\r\n\r\n"
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


@pytest.mark.parametrize(
    "begin",
    [b"", b"POST /v1/audio/speech HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{"],
)
def test_surplus_connections_do_not_block_new_ones(bark: ScriptedBark, begin: bytes) -> None:
    with (
        running_server(lambda: bark, max_connections=50) as server,
        contextlib.ExitStack() as opened,
    ):
        held = []
        for _ in range(200):
            held.append(opened.enter_context(server.connect()))
            held[-1].sendall(begin)
        assert server.speak().status_code == 200
        wait_until(lambda: len(server.server.server_state.connections) <= 50)
        wait_until(lambda: len(select.select(held, [], [], 0)[0]) >= 150)  # closed by the server


def local_address(response: httpx2.Response) -> object:
    """Address of the client's end of a connection, which changes with each connection."""
    assert response.status_code == 200
    return response.extensions["network_stream"].get_extra_info("client_addr")


def test_idle_clients_outlast_unread_responses(bark: ScriptedBark) -> None:
    """Connections that ask for much and read nothing are dropped before an honest client."""
    asks = b"GET /page/page.js HTTP/1.1\r\nhost: localhost\r\n\r\n" * 900
    with (
        running_server(lambda: bark, max_connections=20) as server,
        contextlib.ExitStack() as opened,
    ):
        before = local_address(server.http.get("/health"))
        for _ in range(60):
            raw = opened.enter_context(socket.socket())
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            raw.connect((server.http.base_url.host, server.http.base_url.port))
            raw.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                raw.send(asks)
            assert local_address(server.http.get("/health")) == before


def test_speech_keeps_a_tenth_of_the_connections_free(bark: ScriptedBark) -> None:
    bark.completes = False
    with (
        running_server(lambda: bark, max_connections=3, client_share=1) as server,
        Background() as background,
    ):
        admitted = [
            background(httpx2.post, f"{server.url}{SPEECH}", json={"input": "Hello"})
            for _ in range(2)
        ]
        bark.wait_for_futures(2)
        wait_until(lambda: server.service.admission.running == 2)
        response = server.speak()
        assert refused(response, 429, "--max-connections")["code"] == "queue_full"
        assert int(response.headers["retry-after"]) >= 1
        assert server.http.get("/health").status_code == 200
        for future in bark.futures:
            future.finish()
        assert {future.result().status_code for future in admitted} == {200}


def test_connection_that_is_reset_immediately_is_ignored(server: RunningServer) -> None:
    with server.connect() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert server.speak().status_code == 200
