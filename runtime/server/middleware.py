"""Around every request: its id, who may ask, what is logged and counted."""

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

REQUEST_LOG = "bark_onnx.record"  # where a request's scope keeps its record
SPEECH_PATH = "/v1/audio/speech"

GUARDED = ("/v1/", "/metrics")  # paths that need the API key
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


@dataclass
class RequestLog:
    """What is known of a request."""

    started: float  # time.monotonic()
    status: int = 0  # 0: nothing was answered
    outcome: str = ""  # of a request to speak, where its status does not say it
    audio_seconds: float = 0.0
    first_audio_seconds: float | None = None
    fields: dict[str, Any] = field(default_factory=dict)  # for the log


class RequestMiddleware:
    """Middleware around everything.

    Args:
        app: what answers.
        settings: of the server.
        metrics: where requests to speak are counted.
    """

    def __init__(self, app: ASGIApp, *, settings: ServerSettings, metrics: Metrics) -> None:
        self._app = app
        self._settings = settings
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer over ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = scope[REQUEST_LOG] = RequestLog(time.monotonic())
        request_id = uuid.uuid4().hex

        async def send_noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(scope)
            body = _Body(receive, self._settings)
            body.check_length(Headers(scope=scope).get("content-length", ""))
            await self._app(scope, body, send_noted)
        except ApiError as error:
            await error.response()(scope, receive, send_noted)
        finally:
            self._note(scope, record, request_id)

    def _check(self, scope: Scope) -> None:
        headers, path = Headers(scope=scope), scope["path"]
        if not path.startswith(GUARDED) or scope["method"] == "OPTIONS":
            return
        # Browsers send forms to any site without asking it; clients that are no browsers do not
        # send this header.
        origin = headers.get("origin")
        is_allowed = origin in self._settings.cors_origins or "*" in self._settings.cors_origins
        if headers.get("sec-fetch-site") == "cross-site" and not is_allowed:
            raise ApiError(403, "Pages of other sites may not call this server; see --cors-origin")
        key = self._settings.api_key
        if key is not None and not _carries(headers.get("authorization", ""), key):
            raise ApiError(
                401,
                "The API key is missing or wrong; expected the header Authorization: Bearer KEY",
                code="invalid_api_key",
                headers={"www-authenticate": "Bearer"},
            )

    def _note(self, scope: Scope, record: RequestLog, request_id: str) -> None:
        seconds = time.monotonic() - record.started
        fields = {
            "method": scope["method"],
            "path": scope["path"],
            "status": record.status,
            "seconds": round(seconds, 4),
            "request_id": request_id,
        }
        if scope["path"] == SPEECH_PATH and scope["method"] == "POST":
            fields["outcome"] = record.outcome or outcome_of(record.status)
            if record.first_audio_seconds is not None:
                fields["first_audio_seconds"] = round(record.first_audio_seconds, 4)
                self._metrics.on_first_audio(record.first_audio_seconds)
            self._metrics.on_end(
                fields["outcome"], seconds=seconds, audio_seconds=record.audio_seconds
            )
        log.info("request", extra={"fields": fields | record.fields})


class _Body:
    """A request's body, which must not be too long, nor take too long to come.

    What is wrong is an `HTTPException`, which FastAPI lets pass while it reads.
    """

    def __init__(self, receive: Receive, settings: ServerSettings) -> None:
        self._receive = receive
        self._most_bytes = settings.max_body_bytes
        self._seconds = settings.client_seconds
        self._until = asyncio.get_running_loop().time() + self._seconds
        self._bytes = 0
        self._is_complete = False

    def check_length(self, stated: str) -> None:
        """Refuse a body that says itself that it is too long."""
        if stated.isdecimal() and int(stated) > self._most_bytes:
            raise ApiError(413, self._too_long())

    async def __call__(self) -> Message:
        if self._is_complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(
                408, f"The body did not come; expected all of it within {self._seconds:g} s"
            ) from None
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._most_bytes:
            raise HTTPException(413, self._too_long())
        self._is_complete = not message.get("more_body", False)
        return message

    def _too_long(self) -> str:
        return f"The body is too long; expected at most {self._most_bytes} bytes"


def _carries(authorization: str, key: str) -> bool:
    """Whether a header has the key; takes as long for a wrong key as for the right one."""
    scheme, _, given = authorization.partition(" ")
    is_same = hmac.compare_digest(given.strip().encode(), key.encode())
    return is_same and scheme.lower() == "bearer"
