"""Middleware of all requests: id, API key, origin, body limits, request log and counters."""

import asyncio
import hmac
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bark_onnx.runtime.server.errors import ApiError, outcome_of
from bark_onnx.runtime.server.logs import log
from bark_onnx.runtime.server.metrics import Metrics
from bark_onnx.runtime.server.settings import ServerSettings

REQUEST_LOG = "bark_onnx.request_log"  # key of the `RequestLog` in a request's scope
SPEECH_PATH = "/v1/audio/speech"

GUARDED = ("/v1/", "/metrics")  # paths that need the API key
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


@dataclass
class RequestLog:
    """What is logged and counted of one request."""

    started: float  # time.monotonic()
    status: int = 0  # 0: without a response
    outcome: str = ""  # of a speech request, where it differs from that of its status
    audio_seconds: float = 0.0
    first_audio_seconds: float | None = None
    fields: dict[str, Any] = field(default_factory=dict)  # further fields of the line


class RequestMiddleware:
    """ASGI middleware around the whole application.

    Args:
        app: Wrapped application.
        settings: Key, origins and limits.
        metrics: Counters of speech requests.
    """

    def __init__(self, app: ASGIApp, *, settings: ServerSettings, metrics: Metrics) -> None:
        self._app = app
        self._settings = settings
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond over ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_log = scope[REQUEST_LOG] = RequestLog(time.monotonic())
        request_id = uuid.uuid4().hex

        async def send_logged(message: Message) -> None:
            if message["type"] == "http.response.start":
                request_log.status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check_access(scope)
            body = _LimitedBody(receive, self._settings)
            body.check_length(Headers(scope=scope).get("content-length", ""))
            await self._app(scope, body, send_logged)
        except ApiError as error:
            await error.response()(scope, receive, send_logged)
        finally:
            self._log_request(scope, request_log, request_id)

    def _check_access(self, scope: Scope) -> None:
        headers, path = Headers(scope=scope), scope["path"]
        if not path.startswith(GUARDED) or scope["method"] == "OPTIONS":
            return
        # Browsers send forms across sites without a preflight request; other clients do not send
        # this header.
        origin = headers.get("origin")
        is_allowed = origin in self._settings.cors_origins or "*" in self._settings.cors_origins
        if headers.get("sec-fetch-site") == "cross-site" and not is_allowed:
            raise ApiError(403, "Cross-site requests are not allowed; see --cors-origin")
        key = self._settings.api_key
        if key is not None and not _has_bearer_token(headers.get("authorization", ""), key):
            raise ApiError(
                401,
                "The API key is missing or wrong; expected the header Authorization: Bearer KEY",
                code="invalid_api_key",
                headers={"www-authenticate": "Bearer"},
            )

    def _log_request(self, scope: Scope, request_log: RequestLog, request_id: str) -> None:
        seconds = time.monotonic() - request_log.started
        fields = {
            "method": scope["method"],
            "path": scope["path"],
            "status": request_log.status,
            "seconds": round(seconds, 4),
            "request_id": request_id,
        }
        if scope["path"] == SPEECH_PATH and scope["method"] == "POST":
            fields["outcome"] = request_log.outcome or outcome_of(request_log.status)
            if request_log.first_audio_seconds is not None:
                fields["first_audio_seconds"] = round(request_log.first_audio_seconds, 4)
                self._metrics.on_first_audio(request_log.first_audio_seconds)
            self._metrics.on_end(
                fields["outcome"], seconds=seconds, audio_seconds=request_log.audio_seconds
            )
        log.info("request", extra={"fields": fields | request_log.fields})


class _LimitedBody:
    """Receives a request's body within limits of size and time.

    Raises `HTTPException`, the only exception that FastAPI passes on while it reads a body.
    """

    def __init__(self, receive: Receive, settings: ServerSettings) -> None:
        self._receive = receive
        self._max_bytes = settings.max_body_bytes
        self._seconds = settings.client_seconds
        self._deadline = asyncio.get_running_loop().time() + self._seconds
        self._bytes = 0
        self._is_complete = False

    def check_length(self, content_length: str) -> None:
        """Refuse a body whose stated length exceeds the limit."""
        if content_length.isdecimal() and int(content_length) > self._max_bytes:
            raise ApiError(413, self._too_long())

    async def __call__(self) -> Message:
        if self._is_complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(
                408, f"The body is incomplete; expected all of it within {self._seconds:g} s"
            ) from None
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._max_bytes:
            raise HTTPException(413, self._too_long())
        self._is_complete = not message.get("more_body", False)
        return message

    def _too_long(self) -> str:
        return f"The body is too long; expected at most {self._max_bytes} bytes"


def _has_bearer_token(authorization: str, key: str) -> bool:
    """Whether a header carries the key; compared in constant time."""
    scheme, _, token = authorization.partition(" ")
    is_same = hmac.compare_digest(token.strip().encode(), key.encode())
    return is_same and scheme.lower() == "bearer"
