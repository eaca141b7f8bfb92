"""Sends one speech response; handles errors, timeouts, and clients that disconnect."""

import asyncio
import time
from contextlib import aclosing

from fastapi import Response
from starlette.types import Receive, Scope, Send

from bark_onnx.graphs.errors import BarkError
from bark_onnx.runtime.server.clients import client_of
from bark_onnx.runtime.server.connections import cut_off
from bark_onnx.runtime.server.errors import ApiError, as_api_error, own_failure, shutting_down
from bark_onnx.runtime.server.middleware import REQUEST_LOG, RequestLog
from bark_onnx.runtime.server.service import SpeechService
from bark_onnx.runtime.server.speech_task import SpeechTask


class SpeechResponse(Response):
    """Response of a speech request.

    Nothing is sent before the first audio, so that an error up to then has its own status. A later
    error is an event, or, in a plain audio stream, a connection that is cut off.

    Args:
        speech_task: Source of the body.
        service: Admission control, limits and counters.
    """

    def __init__(self, speech_task: SpeechTask, service: SpeechService) -> None:
        super().__init__(media_type=speech_task.media_type)
        del self.headers["content-length"]
        self.headers["cache-control"] = "no-store"
        self._speech_task = speech_task
        self._service = service
        self._has_started = False
        self._is_aborted = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond over ASGI."""
        request_log: RequestLog = scope[REQUEST_LOG]
        disconnect = asyncio.ensure_future(_wait_for_disconnect(receive))
        task = asyncio.ensure_future(self._respond(scope, send, disconnect))

        def abort() -> None:
            self._is_aborted = True
            task.cancel()

        try:
            with self._service.admission.admit(client_of(scope), abort):
                request_log.outcome = "cancelled"  # unless it ends otherwise
                await asyncio.wait((task, disconnect), return_when=asyncio.FIRST_COMPLETED)
                if task.done() and not task.cancelled():
                    task.result()
        finally:
            task.cancel()
            disconnect.cancel()
            await asyncio.wait((task, disconnect))
            request_log.fields |= self._speech_task.log_fields()
            request_log.audio_seconds = self._speech_task.audio_seconds

    async def _respond(self, scope: Scope, send: Send, disconnect: asyncio.Future[None]) -> None:
        request_log: RequestLog = scope[REQUEST_LOG]
        error = await self._send_audio(request_log, send)
        if error is None:
            await _send_body(send, b"", more=False)
            # That waits until most of the body is read, and also returns after a disconnect.
            request_log.outcome = "cancelled" if disconnect.done() else "ok"
            return
        is_cut = self._has_started and self._is_aborted
        request_log.outcome = "cut" if is_cut else error.outcome
        if not self._has_started:
            response = error.response()
            await _send_start(send, response)
            await _send_body(send, bytes(response.body), more=False)
        elif (event := self._speech_task.error_event(error)) is not None:
            await _send_body(send, event, more=False)
        else:
            cut_off(scope)

    async def _send_audio(self, request_log: RequestLog, send: Send) -> ApiError | None:
        """Send the body except its end; returns the error that ended it early."""
        seconds = self._service.settings.request_seconds
        try:
            async with asyncio.timeout(seconds - (time.monotonic() - request_log.started)):
                await self._send_chunks(request_log, send)
        except TimeoutError:
            return ApiError(504, f"The request took longer than {seconds:g} s", code="timeout")
        except asyncio.CancelledError:
            if not self._is_aborted:
                raise
            return shutting_down()
        except BarkError as error:
            return as_api_error(error, self._service.retry_seconds)
        except Exception as error:
            return own_failure(error)
        return None

    async def _send_chunks(self, request_log: RequestLog, send: Send) -> None:
        async with aclosing(self._speech_task.chunks()) as chunks:
            async for chunk in chunks:
                if not self._has_started:
                    request_log.first_audio_seconds = time.monotonic() - request_log.started
                    await self._start_response(send, len(chunk))
                await _send_body(send, chunk, more=True)
        if not self._has_started:
            await self._start_response(send, 0)

    async def _start_response(self, send: Send, first_bytes: int) -> None:
        if self._speech_task.is_whole:
            self.headers["content-length"] = str(first_bytes)
        self.headers["x-bark-seed"] = str(self._speech_task.seed)
        self._has_started = True
        await _send_start(send, self)


async def _send_start(send: Send, response: Response) -> None:
    status, headers = response.status_code, response.raw_headers
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _send_body(send: Send, body: bytes, *, more: bool) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
