"""Sends one answer and ends it well, whatever happens: errors, timeouts, clients that go away."""

import asyncio
import time
from contextlib import aclosing

from fastapi import Response
from starlette.types import Receive, Scope, Send

from bark_onnx.graphs.errors import BarkError
from bark_onnx.runtime.server.errors import ApiError, as_api_error, shutting_down
from bark_onnx.runtime.server.logs import log
from bark_onnx.runtime.server.middleware import REQUEST_LOG, RequestLog
from bark_onnx.runtime.server.service import SpeechService
from bark_onnx.runtime.server.speech_task import SpeechTask


class SpeechResponse(Response):
    """The answer to a request to speak.

    Nothing is sent before the first audio, so that until then an error has its own status. After
    that it is an event, or, in a sound, a connection that is cut off.

    Args:
        delivery: what to send.
        service: whose gate, limits and counters hold.
    """

    def __init__(self, delivery: SpeechTask, service: SpeechService) -> None:
        super().__init__(media_type=delivery.media_type)
        del self.headers["content-length"]
        self.headers["x-bark-seed"] = str(delivery.seed)
        self.headers["cache-control"] = "no-store"
        self._delivery = delivery
        self._service = service
        self._has_begun = False
        self._time_is_over = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer over ASGI."""
        record: RequestLog = scope[REQUEST_LOG]
        gone = asyncio.ensure_future(_gone(receive))
        work = asyncio.ensure_future(self._answer(record, send, gone))

        def give_up() -> None:
            self._time_is_over = True
            work.cancel()

        try:
            with self._service.gate.enter(give_up):
                record.outcome = "cancelled"  # unless it ends otherwise
                await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
                if work.done() and not work.cancelled():
                    work.result()
        finally:
            work.cancel()
            gone.cancel()
            await asyncio.wait((work, gone))
            record.fields |= self._delivery.fields()
            record.audio_seconds = self._delivery.audio_seconds

    async def _answer(self, record: RequestLog, send: Send, gone: asyncio.Future[None]) -> None:
        problem = await self._deliver(record, send)
        if problem is None:
            await _send_body(send, b"", more=False)
            # It waits until most has been read, and returns as well when the client has gone.
            record.outcome = "cancelled" if gone.done() else "ok"
            return
        record.outcome = problem.outcome
        if not self._has_begun:
            response = problem.response()
            await _send_start(send, response)
            await _send_body(send, bytes(response.body), more=False)
        elif (last := self._delivery.failure(problem)) is not None:
            await _send_body(send, last, more=False)

    async def _deliver(self, record: RequestLog, send: Send) -> ApiError | None:
        """Send all but the end; returns what went wrong."""
        seconds = self._service.settings.request_seconds
        try:
            async with asyncio.timeout(seconds - (time.monotonic() - record.started)):
                await self._send_chunks(record, send)
        except TimeoutError:
            return ApiError(504, f"The speech was not done within {seconds:g} s", code="timeout")
        except asyncio.CancelledError:
            if not self._time_is_over:
                raise
            return shutting_down()
        except BarkError as error:
            return as_api_error(error, self._service.retry_seconds)
        except Exception:
            log.exception("failed")
            return ApiError(500, "The server failed; its log says why")
        return None

    async def _send_chunks(self, record: RequestLog, send: Send) -> None:
        async with aclosing(self._delivery.chunks()) as chunks:
            async for chunk in chunks:
                if not self._has_begun:
                    record.first_audio_seconds = time.monotonic() - record.started
                    await self._begin(send, len(chunk))
                await _send_body(send, chunk, more=True)
        if not self._has_begun:
            await self._begin(send, 0)

    async def _begin(self, send: Send, first_bytes: int) -> None:
        if self._delivery.is_whole:
            self.headers["content-length"] = str(first_bytes)
        self._has_begun = True
        await _send_start(send, self)


async def _send_start(send: Send, response: Response) -> None:
    status, headers = response.status_code, response.raw_headers
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _send_body(send: Send, body: bytes, *, more: bool) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def _gone(receive: Receive) -> None:
    """Wait until the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        continue
