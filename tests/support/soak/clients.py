"""Clients of the soak test: well-behaved ones, invalid ones, slow ones, and ones that leave."""

import asyncio
import base64
import contextlib
import itertools
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx2

from tests.support.soak.catalogue import SECRET, ExpectedResponse
from tests.support.soak.ledger import Ledger

SPEECH = "/v1/audio/speech"
PATIENCE_SECONDS = 120.0  # so that a hang is a failure
_FOUR_SEGMENTS = " ".join(f"{number} {SECRET} {'word ' * 6}end." for number in range(4))
_LONG_REQUEST = {"input": _FOUR_SEGMENTS, "voice": "alloy", "semantic_max_new_tokens": 700}
MUCH_TOKENS = 4 * 700
_LARGE_RESPONSE = {
    **_LONG_REQUEST,
    "semantic_max_new_tokens": 300,
    "speed": 0.25,
    "response_format": "pcm",
    "stream_format": "sse",
}  # 6 MB: more than the buffers on the way hold

_RETRY_SECONDS = 0.3  # less than Retry-After, so that the queue stays full
_INVALID: tuple[tuple[str, str, dict[str, Any], int], ...] = (
    ("POST", SPEECH, {"json": {"input": SECRET, "voice": "unknown"}}, 400),
    ("POST", SPEECH, {"json": {"input": SECRET, "speed": 9}}, 400),
    ("POST", SPEECH, {"json": {"input": f"{SECRET} " * 1000}}, 400),
    ("POST", SPEECH, {"json": {"input": SECRET, "model": "whisper-1"}}, 404),
    ("POST", SPEECH, {"content": b"{", "headers": {"content-type": "application/json"}}, 400),
    ("PUT", SPEECH, {}, 405),
    ("GET", "/v1/nothing", {}, 404),
    ("DELETE", "/v1/audio/voices/unknown", {}, 404),
    ("POST", "/v1/audio/voices", {"data": {"name": "x"}, "files": {"file": b"\x80evil"}}, 400),
)


# Addresses of this machine: each is a client of its own, with its share of the queue.
ADDRESSES = tuple(f"127.0.0.{number}" for number in range(1, 6))


@dataclass
class Clients:
    """All clients of one server; those that listen or are raw are on several addresses in turn.

    Attributes:
        https: HTTP clients, one for each address.
        url: Address of the server.
        ledger: Record of what they receive.
    """

    https: list[httpx2.AsyncClient]
    url: str
    ledger: Ledger
    _turns: Iterator[int] = field(default_factory=itertools.count)

    @property
    def http(self) -> httpx2.AsyncClient:
        """HTTP client of the first address."""
        return self.https[0]

    async def listens(self, expected: ExpectedResponse, *, retries: bool = True) -> None:
        """Retries until the request is accepted, and records the response."""
        http = self.https[next(self._turns) % len(self.https)]
        while True:
            async with asyncio.timeout(PATIENCE_SECONDS):
                response = await http.post(SPEECH, json=expected.body)
            if response.status_code == 200:
                self._record_audio(expected, response)
                return
            assert response.status_code == 429, response.text
            self._record_refusal(response)
            if not retries:
                return
            await asyncio.sleep(_RETRY_SECONDS)

    async def listens_during_shutdown(self, expected: ExpectedResponse) -> None:
        """Requests once, possibly too late."""
        try:
            response = await self.http.post(SPEECH, json=expected.body)
        except httpx2.ConnectError:
            return  # the server has stopped
        if response.status_code == 200:
            self._record_audio(expected, response)
        else:
            # 429: the server has not handled the signal yet.
            assert response.status_code in (429, 503), response.text
            assert response.json()["error"]["code"] in ("queue_full", "shutting_down")
            self._record_refusal(response)

    async def sends_an_invalid_request(self, number: int) -> None:
        """Sends one of the invalid requests."""
        method, path, content, status = _INVALID[number % len(_INVALID)]
        response = await self.http.request(method, path, **content)
        self._record_error(response, status, is_counted=(method, path) == ("POST", SPEECH))

    async def sends_a_long_body(self, size: int, *, chunked: bool) -> None:
        """Sends a body over the limit."""

        async def parts() -> AsyncIterator[bytes]:
            for _ in range(0, size, 1000):
                yield b" " * 1000

        headers = {"content-type": "application/json"}
        content: Any = parts() if chunked else b" " * size
        response = await self.http.post(SPEECH, content=content, headers=headers)
        self._record_error(response, 413)

    async def leaves_before_the_audio(self, seconds: float) -> None:
        """Disconnects from a long request."""
        async with self._requested(_LONG_REQUEST):
            self.ledger.left += 1
            await asyncio.sleep(seconds)

    async def leaves_in_the_middle(self, expected: ExpectedResponse) -> None:
        """Aborts the connection after the first bytes."""
        async with self._requested({**expected.body, "stream_format": "sse"}) as (reader, writer):
            self.ledger.left += 1
            await reader.read(100)
            writer.transport.abort()

    async def reads_slowly(self) -> None:
        """Reads 100 bytes per second of a large response until it is dropped."""
        loop = asyncio.get_running_loop()
        with contextlib.closing(await self._open_socket(receive_bytes=2048)) as raw:
            await loop.sock_sendall(raw, _request(_LARGE_RESPONSE))
            self.ledger.left += 1
            async with asyncio.timeout(PATIENCE_SECONDS):
                while raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                    if not await loop.sock_recv(raw, 100):
                        return  # refused, and read completely
                    await asyncio.sleep(1)

    async def sends_an_incomplete_head(self) -> None:
        """Sends a request's head byte by byte."""
        async with self._connected() as (reader, writer):
            writer.write(b"POST /v1/audio/speech HTTP/1.1\r\nx: ")
            await _until_dropped(reader, writer)

    async def sends_an_incomplete_body(self) -> None:
        """Sends a request's body byte by byte."""
        async with self._connected() as (reader, writer):
            writer.write(_head(10_000) + b"{")
            self.ledger.seen["invalid"] += 1
            response = await _until_dropped(reader, writer)
            assert response.startswith(b"HTTP/1.1 408"), response

    async def stays_idle(self) -> None:
        """Holds a connection until the server closes it."""
        async with self._connected() as (reader, _), asyncio.timeout(PATIENCE_SECONDS):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""

    def _record_audio(self, expected: ExpectedResponse, response: httpx2.Response) -> None:
        self.ledger.seen["ok"] += 1
        is_event = expected.body["stream_format"] == "sse"
        audio = _event_audio(response.text) if is_event else response.content
        self.ledger.responses.append((expected, audio))

    def _record_refusal(self, response: httpx2.Response) -> None:
        self.ledger.seen["refused"] += 1
        assert int(response.headers["retry-after"]) >= 1

    def _record_error(
        self, response: httpx2.Response, status: int, *, is_counted: bool = True
    ) -> None:
        assert response.status_code == status, response.text
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}
        self.ledger.seen["invalid"] += is_counted

    @asynccontextmanager
    async def _requested(
        self, body: dict[str, Any]
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        async with self._connected() as (reader, writer):
            writer.write(_request(body))
            await writer.drain()
            yield reader, writer

    @asynccontextmanager
    async def _connected(
        self,
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection(sock=await self._open_socket())
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _open_socket(self, *, receive_bytes: int | None = None) -> socket.socket:
        """A connection with a receive buffer of this size."""
        address = urlsplit(self.url)
        raw = socket.socket()
        raw.setblocking(False)
        raw.bind((ADDRESSES[next(self._turns) % len(ADDRESSES)], 0))
        if receive_bytes is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        await asyncio.get_running_loop().sock_connect(raw, (address.hostname, address.port))
        return raw


def _request(body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    return _head(len(content)) + content


def _head(body_bytes: int) -> bytes:
    lines = (
        f"POST {SPEECH} HTTP/1.1",
        "host: localhost",
        "content-type: application/json",
        f"content-length: {body_bytes}",
    )
    return "\r\n".join((*lines, "\r\n")).encode()


async def _until_dropped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    response = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not reader.at_eof():
                with contextlib.suppress(TimeoutError):
                    response += await asyncio.wait_for(reader.read(1000), 0.3)
                writer.write(b"x")
    return response


def _event_audio(events: str) -> bytes:
    """Audio in the events of a complete response."""
    found = [*_events(events)]
    assert [event["type"] for event in found[-1:]] == ["speech.audio.done"], found[-1:]
    return b"".join(base64.b64decode(event["audio"]) for event in found[:-1])


def _events(text: str) -> Iterator[dict[str, Any]]:
    for event in text.strip().split("\n\n"):
        yield json.loads(event.split("\ndata: ")[1])
