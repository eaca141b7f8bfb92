"""Middleware of all requests: id, host, origin, API key, limits, request log and counters."""

import logging
import time
import uuid
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bark_onnx.graphs.errors import shortened
from bark_onnx.runtime.engine.clients import Client
from bark_onnx.runtime.server.access import HostRule, check_origin
from bark_onnx.runtime.server.api_keys import ApiKeys
from bark_onnx.runtime.server.bodies import BodyLimits, LimitedBody
from bark_onnx.runtime.server.clients import CLIENT, address_of
from bark_onnx.runtime.server.connections import connection_of, cut_off
from bark_onnx.runtime.server.errors import (
    MAX_SHOWN_CHARACTERS,
    ApiError,
    outcome_of,
    own_failure,
)
from bark_onnx.runtime.server.logs import log, request_id
from bark_onnx.runtime.server.metrics import Metrics
from bark_onnx.runtime.server.readiness import Readiness
from bark_onnx.runtime.server.settings import ServerSettings

REQUEST_LOG = "bark_onnx.request_log"  # key of the `RequestLog` in a request's scope
SPEECH_PATH = "/v1/audio/speech"

GUARDED = ("/v1/", "/metrics")  # paths that need the API key

PROBES = ("/health", "/ready")  # load balancers call them under any name
_MAX_HEAD_BYTES = 64 << 10
_MAX_LOGGED_CHARACTERS = 200  # of a path
# Browsers send these without a preflight request, whatever the version of FastAPI accepts.
_CONTENT_TYPES = {
    SPEECH_PATH: ("application/json", "a JSON object"),
    "/v1/audio/voices": ("multipart/form-data", "a form with name and file"),
}
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
        settings: Origins and limits.
        hosts: Names of this server.
        keys: Keys that give access.
        metrics: Counters of speech requests.
        readiness: Counter of failures.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: ServerSettings,
        hosts: HostRule,
        keys: ApiKeys,
        metrics: Metrics,
        readiness: Readiness,
    ) -> None:
        self._app = app
        self._keys = keys
        self._settings = settings
        self._hosts = hosts
        self._metrics = metrics
        self._readiness = readiness
        self._body_limits = BodyLimits(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond over ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_log = RequestLog(time.monotonic())
        given_id = uuid.uuid4().hex
        request_id.set(given_id)
        body = LimitedBody(receive, self._body_limits)

        async def send_logged(message: Message) -> None:
            if message["type"] == "http.response.start":
                request_log.status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = given_id
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        routed: Scope = {**_routed(scope), REQUEST_LOG: request_log}
        try:
            await self._respond(routed, body, send_logged)
        finally:
            self._log_request(scope, routed, request_log)

    async def _respond(self, scope: Scope, body: LimitedBody, send: Send) -> None:
        request_log: RequestLog = scope[REQUEST_LOG]
        try:
            self._check_access(scope)
            if scope["method"] != "POST" or await body.read():
                await self._app(scope, body, send)
        except ApiError as error:
            await error.response()(scope, body, send)
        except Exception as error:
            response = own_failure(error).response()
            if request_log.status:
                request_log.outcome = "failed"
                cut_off(scope)
            else:
                await response(scope, body, send)

    def _check_access(self, scope: Scope) -> None:
        headers, path = Headers(scope=scope), scope["path"]
        _check_head(scope)
        if path not in PROBES:
            self._hosts.check(headers)
        if path.startswith(GUARDED) and scope["method"] != "OPTIONS":
            check_origin(headers, self._settings.cors_origins)
            self._check_key(scope, headers)
        if scope["method"] == "POST" and path in _CONTENT_TYPES:
            _check_content_type(headers, *_CONTENT_TYPES[path])
        self._body_limits.check_length(headers.get("content-length", ""))

    def _check_key(self, scope: Scope, headers: Headers) -> None:
        key_name = self._keys.find(headers.get("authorization", ""))
        if key_name is None and self._keys.is_required:
            raise ApiError(
                401,
                "The API key is missing or wrong; expected the header Authorization: Bearer KEY",
                code="invalid_api_key",
                headers={"www-authenticate": "Bearer"},
            )
        scope[CLIENT] = Client(key_name or address_of(scope), self._settings.client_share)

    def _log_request(self, scope: Scope, routed: Scope, request_log: RequestLog) -> None:
        seconds = time.monotonic() - request_log.started
        fields: dict[str, Any] = {
            "method": shortened(scope["method"], MAX_SHOWN_CHARACTERS),
            "path": shortened(scope["path"], _MAX_LOGGED_CHARACTERS),
            "status": request_log.status,
            "seconds": round(seconds, 4),
            "request_id": request_id.get(),
        }
        if routed["path"] == SPEECH_PATH and routed["method"] == "POST":
            fields["outcome"] = request_log.outcome or outcome_of(request_log.status)
            if request_log.first_audio_seconds is not None:
                fields["first_audio_seconds"] = round(request_log.first_audio_seconds, 4)
                self._metrics.on_first_audio(request_log.first_audio_seconds)
            self._metrics.on_end(
                fields["outcome"], seconds=seconds, audio_seconds=request_log.audio_seconds
            )
            self._readiness.on_end(fields["outcome"])
        # A crowd must not fill the disk. Dropped connections are logged by their number.
        connection = connection_of(scope)
        is_counted = connection is not None and connection.is_dropped
        is_probe = not routed["path"].startswith(GUARDED) and request_log.status == HTTPStatus.OK
        level = logging.DEBUG if is_counted or is_probe else logging.INFO
        log.log(level, "request", extra={"fields": fields | request_log.fields})


def _routed(scope: Scope) -> Scope:
    """A request as the routes know it: GET for HEAD, and paths without a slash at the end."""
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    path = scope["path"].rstrip("/") or "/"
    return {**scope, "method": method, "path": path}


def _check_head(scope: Scope) -> None:
    """Check the length of a head; h11 only limits those that arrive slowly."""
    fields = sum(len(name) + len(value) for name, value in scope["headers"])
    if len(scope["raw_path"]) + len(scope["query_string"]) + fields > _MAX_HEAD_BYTES:
        raise ApiError(431, f"The head is too long; expected at most {_MAX_HEAD_BYTES} bytes")


def _check_content_type(headers: Headers, expected: str, what: str) -> None:
    found = headers.get("content-type", "").partition(";")[0].strip().lower()
    if found != expected:
        raise ApiError(
            400, f"The body has another type; expected {what} with content-type: {expected}"
        )
