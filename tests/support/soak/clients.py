"""The clients of the soak: those who behave, those who do not, and those who leave."""

import asyncio
import base64
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2

from tests.support.soak.catalogue import SECRET, VoiceQuery
from tests.support.soak.ledger import Ledger

SPEECH = "/v1/audio/speech"
PATIENCE_SECONDS = 120.0  # so that a hang is a failure
_FOUR_PIECES = " ".join(f"{number} {SECRET} {'word ' * 6}end." for number in range(4))
_MUCH = {"input": _FOUR_PIECES, "voice": "alloy", "semantic_max_new_tokens": 700}
MUCH_TOKENS = 4 * 700
_LOUD = {
    **_MUCH,
    "semantic_max_new_tokens": 300,
    "speed": 0.25,
    "response_format": "pcm",
    "stream_format": "sse",
}  # 6 MB: more than fits on the way to a client

_AGAIN_SECONDS = 0.3  # sooner than the server asks for, so that its queue stays full
_INVALID: tuple[tuple[str, str, dict[str, Any], int], ...] = (
    ("POST", SPEECH, {"json": {"input": SECRET, "voice": "nobody"}}, 400),
    ("POST", SPEECH, {"json": {"input": SECRET, "speed": 9}}, 400),
    ("POST", SPEECH, {"json": {"input": f"{SECRET} " * 1000}}, 400),
    ("POST", SPEECH, {"json": {"input": SECRET, "model": "whisper-1"}}, 404),
    ("POST", SPEECH, {"content": b"{", "headers": {"content-type": "application/json"}}, 400),
    ("PUT", SPEECH, {}, 405),
    ("GET", "/v1/nothing", {}, 404),
    ("DELETE", "/v1/audio/voices/nobody", {}, 404),
    ("POST", "/v1/audio/voices", {"data": {"name": "x"}, "files": {"file": b"\x80evil"}}, 400),
)


@dataclass
class Clients:
    """Everybody who talks to one server.

    Attributes:
        http: of those who behave.
        url: of the server.
        ledger: what they see.
    """

    http: httpx2.AsyncClient
    url: str
    ledger: Ledger

    async def listens(self, wanted: VoiceQuery, *, retries: bool = True) -> None:
        """Asks until it is answered, and keeps what it got."""
        while True:
            async with asyncio.timeout(PATIENCE_SECONDS):
                response = await self.http.post(SPEECH, json=wanted.body)
            if response.status_code == 200:
                self._heard(wanted, response)
                return
            assert response.status_code == 429, response.text
            self._refused(response)
            if not retries:
                return
            await asyncio.sleep(_AGAIN_SECONDS)

    async def listens_while_it_ends(self, wanted: VoiceQuery) -> None:
        """Asks once, perhaps too late."""
        try:
            response = await self.http.post(SPEECH, json=wanted.body)
        except httpx2.ConnectError:
            return  # nobody listens any more
        if response.status_code == 200:
            self._heard(wanted, response)
        else:
            # 429 from a server that has not seen the signal yet.
            assert response.status_code in (429, 503), response.text
            assert response.json()["error"]["code"] in ("queue_full", "shutting_down")
            self._refused(response)

    async def errs(self, number: int) -> None:
        """Asks for what there is not."""
        method, path, content, status = _INVALID[number % len(_INVALID)]
        response = await self.http.request(method, path, **content)
        self._told(response, status, is_counted=(method, path) == ("POST", SPEECH))

    async def sends_too_much(self, size: int, *, chunked: bool) -> None:
        """Sends a body that no server should keep."""

        async def parts() -> AsyncIterator[bytes]:
            for _ in range(0, size, 1000):
                yield b" " * 1000

        headers = {"content-type": "application/json"}
        content: Any = parts() if chunked else b" " * size
        response = await self.http.post(SPEECH, content=content, headers=headers)
        self._told(response, 413)

    async def leaves_before_the_sound(self, seconds: float) -> None:
        """Asks for much, and goes away."""
        async with self._asked(_MUCH):
            self.ledger.left += 1
            await asyncio.sleep(seconds)

    async def leaves_in_the_middle(self, wanted: VoiceQuery) -> None:
        """Goes away with the first bytes, without a farewell."""
        async with self._asked({**wanted.body, "stream_format": "sse"}) as (reader, writer):
            self.ledger.left += 1
            await reader.read(100)
            writer.transport.abort()

    async def hardly_reads(self) -> None:
        """Asks for more than fits on the way, and reads 100 bytes a second until it is dropped."""
        loop = asyncio.get_running_loop()
        with contextlib.closing(await self._reached(receive_bytes=2048)) as raw:
            await loop.sock_sendall(raw, _request(_LOUD))
            self.ledger.left += 1
            async with asyncio.timeout(PATIENCE_SECONDS):
                while raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                    if not await loop.sock_recv(raw, 100):
                        return  # refused, and read to the end
                    await asyncio.sleep(1)

    async def never_ends_its_head(self) -> None:
        """Sends a byte of a request's head now and then."""
        async with self._connected() as (reader, writer):
            writer.write(b"POST /v1/audio/speech HTTP/1.1\r\nx: ")
            await _until_dropped(reader, writer)

    async def never_ends_its_body(self) -> None:
        """Sends a byte of a request's body now and then."""
        async with self._connected() as (reader, writer):
            writer.write(_head(10_000) + b"{")
            self.ledger.seen["invalid"] += 1
            answer = await _until_dropped(reader, writer)
            assert answer.startswith(b"HTTP/1.1 408"), answer

    async def says_nothing(self) -> None:
        """Holds a connection until the server ends it."""
        async with self._connected() as (reader, _), asyncio.timeout(PATIENCE_SECONDS):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""

    def _heard(self, wanted: VoiceQuery, response: httpx2.Response) -> None:
        self.ledger.seen["ok"] += 1
        is_event = wanted.body["stream_format"] == "sse"
        sound = _sound_in(response.text) if is_event else response.content
        self.ledger.sounds.append((wanted, sound))

    def _refused(self, response: httpx2.Response) -> None:
        self.ledger.seen["refused"] += 1
        assert int(response.headers["retry-after"]) >= 1

    def _told(self, response: httpx2.Response, status: int, *, is_counted: bool = True) -> None:
        assert response.status_code == status, response.text
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}
        self.ledger.seen["invalid"] += is_counted

    @asynccontextmanager
    async def _asked(
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
        reader, writer = await asyncio.open_connection(sock=await self._reached())
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _reached(self, *, receive_bytes: int | None = None) -> socket.socket:
        """A connection with as much room for what it has not read yet."""
        address = urlsplit(self.url)
        raw = socket.socket()
        raw.setblocking(False)
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
        "host: x",
        "content-type: application/json",
        f"content-length: {body_bytes}",
    )
    return "\r\n".join((*lines, "\r\n")).encode()


async def _until_dropped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    answer = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not reader.at_eof():
                with contextlib.suppress(TimeoutError):
                    answer += await asyncio.wait_for(reader.read(1000), 0.3)
                writer.write(b"x")
    return answer


def _sound_in(events: str) -> bytes:
    """What the events of a complete answer carry."""
    found = [*_events(events)]
    assert [event["type"] for event in found[-1:]] == ["speech.audio.done"], found[-1:]
    return b"".join(base64.b64decode(event["audio"]) for event in found[:-1])


def _events(text: str) -> Iterator[dict[str, Any]]:
    for event in text.strip().split("\n\n"):
        yield json.loads(event.split("\ndata: ")[1])
