"""Bodies of requests: their memory in total, and clients that leave before the end."""

import asyncio
import logging
import socket
import time
from collections.abc import Callable

import pytest
from starlette.types import Message

import bark_onnx.runtime.server.bodies as bodies_module
from bark_onnx.runtime.server.bodies import BodyLimits, LimitedBody
from bark_onnx.runtime.server.errors import ApiError
from bark_onnx.runtime.server.settings import ServerSettings
from tests.support.scripted_bark import ScriptedBark
from tests.support.server_process import RunningServer, running_server, wait_until

HEAD = "POST /v1/audio/speech HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


class Sender:
    """A client that sends a body in chunks, and what the server makes of it."""

    def __init__(self, limits: BodyLimits) -> None:
        self._queue: asyncio.Queue[Message] = asyncio.Queue()
        self.body = LimitedBody(self._queue.get, limits)
        self.result = asyncio.ensure_future(self.body.read())

    async def send(self, size: int, *, more: bool = True) -> None:
        self._queue.put_nowait({"type": "http.request", "body": b" " * size, "more_body": more})
        await asyncio.sleep(0.001)


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Callable[[], BodyLimits]:
    monkeypatch.setattr(bodies_module, "_MIN_BYTES_IN_TOTAL", 400)
    return lambda: BodyLimits(ServerSettings(model_id="x", max_body_bytes=100))


def test_body_that_arrived_while_the_server_was_busy_is_read() -> None:
    async def run() -> bool:
        here, there = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=here)

        async def receive() -> Message:
            return {"type": "http.request", "body": await reader.read(10), "more_body": False}

        limits = BodyLimits(ServerSettings(model_id="x", client_seconds=0.1))
        result = asyncio.ensure_future(LimitedBody(receive, limits).read())
        await asyncio.sleep(0.01)
        there.send(b"{}")
        time.sleep(0.3)  # the event loop is busy for longer than the client may take
        try:
            return await result
        finally:
            writer.close()
            there.close()

    assert asyncio.run(run())


def test_oldest_unfinished_body_gives_way(limits: Callable[[], BodyLimits]) -> None:
    async def run() -> None:
        found = limits()
        senders = [Sender(found) for _ in range(5)]
        for sender in senders[:4]:
            await sender.send(100)
        assert found.held_bytes == 400
        await senders[4].send(1)
        with pytest.raises(ApiError) as caught:
            await senders[0].result
        assert caught.value.status == 503
        assert caught.value.headers == {"retry-after": "1"}
        assert found.held_bytes == 301
        await senders[1].send(0, more=False)
        assert await senders[1].result
        assert len((await senders[1].body())["body"]) == 100
        assert found.held_bytes == 201, "a complete body is no more counted"
        for sender in senders[2:]:
            sender.result.cancel()
        await asyncio.wait([sender.result for sender in senders])
        assert found.held_bytes == 0

    asyncio.run(run())


def test_memory_of_unfinished_bodies_is_bounded(
    bark: ScriptedBark, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies_module, "_MIN_BYTES_IN_TOTAL", 400_000)
    with running_server(lambda: bark, max_body_bytes=100_000) as server:
        senders = [server.connect() for _ in range(6)]
        for sender in senders:
            head = f"{HEAD}content-length: 100000\r\nconnection: close\r\n\r\n"
            sender.sendall(head.encode() + b" " * 90_000)
        assert senders[0].makefile("rb").readline().split()[1] == b"503"
        assert server.speak().status_code == 200
        for sender in senders:
            sender.close()


def test_client_that_leaves_before_the_end_of_its_body_is_cancelled(
    server: RunningServer, log_records: list[logging.LogRecord]
) -> None:
    with server.connect() as raw:
        raw.sendall(f"{HEAD}content-length: 99\r\n\r\n{{".encode())
    wait_until(lambda: any(record.getMessage() == "request" for record in log_records))
    (record,) = (record for record in log_records if record.getMessage() == "request")
    fields = record.fields  # type: ignore[attr-defined]
    assert (fields["status"], fields["outcome"]) == (0, "cancelled")
