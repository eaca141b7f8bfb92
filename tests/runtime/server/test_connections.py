"""Clients that keep a server waiting, and what does not wait for them."""

import contextlib
import json
import logging
import select
import socket
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from bark_onnx.runtime.server import server
from bark_onnx.runtime.server.connections import IdleConnectionReaper
from tests.runtime.server.conftest import Background, Running, running, wait_until
from tests.runtime.server.test_speech import refused
from tests.support.scripted_bark import RATE_HZ, ScriptedBark

SPEECH = "/v1/audio/speech"


class Connection:
    """As the watch sees one of uvicorn's."""

    def __init__(self) -> None:
        self.cycle: Any = None
        self.unsent = 0
        self.is_dropped = False
        self.transport = SimpleNamespace(
            get_write_buffer_size=lambda: self.unsent,
            abort=lambda: setattr(self, "is_dropped", 1),
            get_extra_info=lambda name: None,
        )

    def ask(self) -> "Connection":
        self.cycle = SimpleNamespace(response_complete=False)
        return self


def watch(most: int = 100) -> IdleConnectionReaper:
    return IdleConnectionReaper(client_seconds=10, request_seconds=100, most=most)


def looks(found: IdleConnectionReaper, connection: Connection, *moments: float) -> list[bool]:
    """Whether a connection is dropped after a look at each of some moments."""
    dropped = []
    for now in moments:
        found.look([] if connection.is_dropped else [connection], now)  # type: ignore[list-item]
        dropped.append(bool(connection.is_dropped))
    return dropped


def test_whoever_never_ends_a_request_is_dropped() -> None:
    assert looks(watch(), Connection(), 0, 5, 10, 11) == [False, False, False, True]


def test_whoever_waits_for_an_answer_is_not() -> None:
    assert looks(watch(), Connection().ask(), 0, 50, 99, 1000) == [False] * 4


def test_the_clients_time_begins_anew_with_each_answer() -> None:
    found, connection = watch(), Connection().ask()
    assert looks(found, connection, 0, 50) == [False, False]
    connection.cycle.response_complete = True
    assert looks(found, connection, 51, 60) == [False, False]
    connection.ask()
    assert looks(found, connection, 61, 99) == [False, False]
    connection.cycle.response_complete = True
    assert looks(found, connection, 100, 111) == [False, True]


@pytest.mark.parametrize("is_answered", [False, True])
def test_whoever_does_not_read_is_dropped(is_answered: bool) -> None:
    found, connection = watch(), Connection().ask()
    connection.cycle.response_complete = is_answered
    connection.unsent = 1000
    assert looks(found, connection, 0, 9) == [False, False]
    connection.unsent = 999
    assert looks(found, connection, 10, 20) == [False, False]
    assert looks(found, connection, 21) == [True]


def test_whoever_reads_as_little_as_possible_is_dropped_when_the_request_took_too_long() -> None:
    found, connection = watch(), Connection().ask()
    for now in range(0, 101, 5):
        connection.unsent = 1000 - now
        assert looks(found, connection, now) == [False]
    connection.unsent = 1
    assert looks(found, connection, 101) == [True]


def test_of_too_many_those_go_that_have_waited_longest() -> None:
    found = watch(most=3)
    busy, old, new, reading = (Connection() for _ in range(4))
    busy.ask()
    reading.unsent = 10
    found.look([busy, old], 0)  # type: ignore[list-item]
    found.look([busy, old, new, reading], 1)  # type: ignore[list-item]
    assert [bool(each.is_dropped) for each in (busy, old, new, reading)] == [
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
def test_a_head_that_never_ends_is_not_waited_for(
    impatient: Running, lines: list[logging.LogRecord], begin: bytes
) -> None:
    with impatient.connected() as raw:
        raw.sendall(begin)
        assert raw.makefile("rb").read() == b""
    dropped = [line for line in lines if line.getMessage() == "dropped"]
    assert {line.fields["reason"] for line in dropped} == {"too slow"}  # type: ignore[attr-defined]


def test_a_body_that_is_left_over_is_not_waited_for(impatient: Running) -> None:
    head = "GET /health HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n"
    with impatient.connected() as raw, contextlib.suppress(ConnectionError):
        raw.sendall(head.encode())
        answered = raw.recv(10_000)
        while True:  # a byte now and then keeps no connection open
            raw.settimeout(0.1)
            with contextlib.suppress(TimeoutError):
                if not raw.recv(1000):
                    break
            raw.sendall(b"x")
    assert answered.startswith(b"HTTP/1.1 200")


def test_a_client_that_does_not_read_is_dropped_and_holds_nobody(
    impatient: Running, bark: ScriptedBark
) -> None:
    bark.seconds = 400.0  # 19 MB: more than any buffer on the way
    with impatient.connected() as raw:
        raw.sendall(speech_request())
        assert raw.recv(5).startswith(b"HTTP")
        bark.seconds = 0.1
        assert len(impatient.say(response_format="pcm").content) == 2 * RATE_HZ // 10
        wait_until(lambda: impatient.service.gate.count == 0)
        with contextlib.suppress(ConnectionResetError):
            while raw.recv(1 << 20):
                pass
    assert 'outcome="cancelled"} 1.0' in impatient.http.get("/metrics").text


def test_a_client_that_does_not_read_does_not_keep_the_server_from_stopping(
    bark: ScriptedBark, monkeypatch: pytest.MonkeyPatch, lines: list[logging.LogRecord]
) -> None:
    monkeypatch.setattr(server, "_LAST_SECONDS", 0.2)
    bark.seconds = 400.0
    with running(lambda: bark, shutdown_seconds=0.2) as served, served.connected() as raw:
        raw.sendall(speech_request(stream_format="sse"))
        assert raw.recv(5).startswith(b"HTTP")
        served.stop()
    assert "shutting down" in [getattr(line, "fields", {}).get("reason") for line in lines]


def test_idle_connections_keep_nobody_out(bark: ScriptedBark) -> None:
    with running(lambda: bark, max_connections=50) as served, contextlib.ExitStack() as opened:
        idle = [opened.enter_context(served.connected()) for _ in range(200)]
        assert served.say().status_code == 200
        wait_until(lambda: len(served.server.server_state.connections) <= 50)
        wait_until(lambda: len(select.select(idle, [], [], 0)[0]) >= 150)  # closed by the server


def test_requests_beyond_the_connections_are_refused(bark: ScriptedBark) -> None:
    bark.answers = False
    with running(lambda: bark, max_connections=2) as served, Background() as background:
        first = [
            background(httpx2.post, f"{served.url}{SPEECH}", json={"input": "Hello"})
            for _ in range(2)
        ]
        bark.wait_for_jobs(2)
        wait_until(lambda: served.service.gate.count == 2)
        response = served.say()
        assert refused(response, 429, "--max-connections")["code"] == "queue_full"
        assert int(response.headers["retry-after"]) >= 1
        for job in bark.jobs:
            job.end()
        assert {future.result().status_code for future in first} == {200}


def test_a_connection_that_breaks_at_once_is_no_error(served: Running) -> None:
    with served.connected() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert served.say().status_code == 200
