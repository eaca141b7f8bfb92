"""Clients that are slow, stop, leave, or are too many; afterwards the server answers as before."""

import json
import socket
import struct
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.support.torture.outcomes import Outcome, Verdict
from tests.support.torture.scripted_server import MAX_CONNECTIONS
from tests.support.torture.servers import (
    ServerSubject,
    judge_response,
)

_TEXT = "Here is a sentence of it. " * 60
_BODY = json.dumps({"input": _TEXT, "response_format": "pcm"}).encode()
_SPEECH = (
    b"POST /v1/audio/speech HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)
_SHORT = _SPEECH.replace(_BODY, b'{"input": "Hello"}').replace(b"%d" % len(_BODY), b"18")
_HEALTH = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"
_PAGE = b"GET /page/page.js HTTP/1.1\r\nhost: localhost\r\n\r\n"
_CHUNKED = (
    b"POST /v1/audio/speech HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    b'transfer-encoding: chunked\r\n\r\n5\r\n{"inp\r\n'
)
_WEBSOCKET = (
    b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
)
_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"  # of TLS
_LINGER = struct.pack("ii", 1, 0)  # closing resets the connection
_POLL_SECONDS = 0.02
_PIPELINED, _UNREAD = 30, 900  # requests on one connection
_FEW = 10  # clients that are all answered


@dataclass(frozen=True)
class _Kind:
    """What a client does.

    Attributes:
        request: What it sends.
        is_cut: Whether it sends only a part of that at once.
        drips: Whether it sends the rest byte by byte.
        reads: Bytes that it reads at a time; 0: it does not read.
        end: How it ends the connection: close, reset, half; empty: it does not.
        responses: Number of responses that it receives.
        max_clients: Largest number of such clients.
    """

    request: bytes
    is_cut: bool = False
    drips: bool = False
    reads: int = 1 << 16
    end: str = ""
    responses: int = 0
    max_clients: int = 3 * MAX_CONNECTIONS


KINDS = {
    "silent": _Kind(b""),
    "a part of a head": _Kind(_HEALTH, is_cut=True),
    "a slow head": _Kind(_HEALTH[:-2] + b"x: " + b"y" * 5000, is_cut=True, drips=True),
    "a part of a request": _Kind(_SPEECH, is_cut=True),
    "a slow body": _Kind(_SPEECH, is_cut=True, drips=True),
    "a part of chunks": _Kind(_CHUNKED),
    "junk": _Kind(_HELLO),
    "a websocket": _Kind(_WEBSOCKET),
    "an idle client": _Kind(_HEALTH, responses=1),
    "pipelined": _Kind(_HEALTH * _PIPELINED, responses=_PIPELINED),
    "pipelined speech": _Kind(_SHORT * 5, responses=5),
    "an unread page": _Kind(_PAGE * _UNREAD, reads=0, max_clients=10),
    "an unread speech": _Kind(_SPEECH, reads=0),
    "a slow reader": _Kind(_PAGE * _UNREAD, reads=100, max_clients=10),
    "closed early": _Kind(_SPEECH, is_cut=True, end="close"),
    "reset early": _Kind(_SPEECH, is_cut=True, end="reset"),
    "closed before the response": _Kind(_SPEECH, end="close"),
    "reset before the response": _Kind(_SPEECH, end="reset"),
    "half-closed": _Kind(_SPEECH, end="half"),
}


@dataclass(frozen=True)
class ConnectionCase:
    """Clients that do the same.

    Attributes:
        kind: What they do.
        clients: Their number.
        cut: Part of the request that is sent.
        pause: Seconds between two bytes, or before a client leaves.
    """

    kind: str
    clients: int
    cut: float
    pause: float


class Connections(ServerSubject[ConnectionCase]):
    """Connections to a server process."""

    name = "connections"
    cases = 40

    def make(self, rng: Random) -> ConnectionCase:
        kind = rng.choice([*KINDS])
        clients = rng.choice([1, 1, 3, 10, 30, MAX_CONNECTIONS, 3 * MAX_CONNECTIONS])
        clients = min(clients, KINDS[kind].max_clients)
        return ConnectionCase(kind, clients, rng.random(), rng.choice([0.0, 0.0, 0.05, 0.3]))

    def judge(self, case: ConnectionCase, folder: Path) -> Verdict:
        assert self._served is not None
        kind = KINDS[case.kind]
        with ExitStack() as opened:
            clients = []
            for _ in range(case.clients):
                raw = opened.enter_context(self._served.connect(receive_bytes=2048))
                clients.append(_Client(raw, kind, case))
            meanwhile = self._judge_others()
            if meanwhile.outcome.is_defect:
                return meanwhile
            end = time.monotonic() + self._seconds
            while any(each.waits for each in clients) or self._served.connections():
                if time.monotonic() > end:
                    count = self._served.connections()
                    return self._served.hang(f"{count} connections are still open")
                for each in clients:
                    each.go_on()
                time.sleep(_POLL_SECONDS)
            received = [each.responses for each in clients]
        if kind.responses and case.clients <= _FEW:
            assert received == [kind.responses] * case.clients, received
        verdict = self._judge_others()
        if verdict.outcome is Outcome.ACCEPTED and not kind.responses:
            verdict = Verdict(Outcome.CLEAR_LINE)
        return self._served.verdict_of(verdict)

    def _judge_others(self) -> Verdict:
        """Judge the responses to two usual requests, which may be refused for a while."""
        assert self._served is not None
        end = time.monotonic() + self._seconds
        while True:
            try:
                responses = [self._served.ask(content) for content in (_HEALTH, _SHORT)]
            except (TimeoutError, ConnectionError) as error:
                return self._served.hang(f"no response to others: {error}")
            verdicts = [judge_response(each) for each in responses]
            if all(each.outcome is Outcome.ACCEPTED for each in verdicts):
                return verdicts[0]
            if any(each.outcome.is_defect for each in verdicts) or time.monotonic() > end:
                return max(verdicts, key=lambda each: [*Outcome].index(each.outcome))


class _Client:
    """One connection of a case.

    Attributes:
        responses: Number of responses so far.
        waits: Whether the client waits for the end of the connection.
    """

    def __init__(self, raw: socket.socket, kind: _Kind, case: ConnectionCase) -> None:
        self.responses = 0
        self.waits = kind.reads > 0 and kind.end in ("", "half")
        self._raw, self._kind, self._pause = raw, kind, max(case.pause, _POLL_SECONDS)
        request = kind.request
        size = int(len(request) * case.cut) if kind.is_cut else len(request)
        self._rest = request[size:]
        self._next = 0.0
        raw.setblocking(False)
        with suppress(OSError):
            raw.send(request[:size])
        if kind.end == "half":
            with suppress(OSError):
                raw.shutdown(socket.SHUT_WR)
        elif kind.end:
            if kind.end == "reset":
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
            raw.close()

    def go_on(self) -> None:
        """Read and send what the client reads and sends from time to time."""
        now = time.monotonic()
        is_slow = self._kind.drips or self._kind.reads < 1 << 16
        if self._raw.fileno() < 0 or (is_slow and now < self._next):
            return
        self._next = now + self._pause
        with suppress(OSError):
            if self._kind.drips and self._rest:
                self._rest = self._rest[self._raw.send(self._rest[:1]) :]
        try:
            while self.waits:
                self._read()
                if is_slow:
                    return
        except BlockingIOError:
            return
        except OSError:
            self.waits = False

    def _read(self) -> None:
        found = self._raw.recv(self._kind.reads)
        self.responses += found.count(b"HTTP/1.1 200")
        self.waits = bool(found)
