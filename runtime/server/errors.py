"""What goes wrong as OpenAI says it: {"error": {"message", "type", "param", "code"}}."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from bark_onnx.graphs.errors import (
    BarkError,
    ClosedError,
    OptionsError,
    QueueFullError,
    ServerError,
    TextError,
    VoiceError,
)
from bark_onnx.runtime.server.logs import log

_RETRY_SECONDS = 5  # until another server has taken the place of one that stops
_PARAMS = ((TextError, "input"), (VoiceError, "voice"))  # the field that an error is about


class ApiError(ServerError):
    """A request that is answered with an error.

    Args:
        status: of HTTP.
        message: one line.
        param: the field of the request that it is about.
        code: for programs.
        retry_seconds: when to ask again.
        headers: of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_seconds: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code
        self.headers = dict(headers or {})
        if retry_seconds is not None:
            self.headers["retry-after"] = str(retry_seconds)

    @property
    def outcome(self) -> str:
        """How the request ended, in a word."""
        return outcome_of(self.status)

    def body(self) -> dict[str, Any]:
        """The answer's JSON."""
        return {
            "error": {
                "message": str(self),
                "type": _kind(self.status),
                "param": self.param,
                "code": self.code,
            }
        }

    def response(self) -> Response:
        """The answer."""
        return json_response(self.body(), self.status, self.headers)


def outcome_of(status: int) -> str:
    """How a request with this status ended; 0 is one that was not answered."""
    if status == 0:
        return "cancelled"
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        return "refused"
    if status == HTTPStatus.GATEWAY_TIMEOUT:
        return "timeout"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "failed"
    return "invalid" if status >= HTTPStatus.BAD_REQUEST else "ok"


def json_response(
    content: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """JSON in ASCII: what a client sent may come back in a message, and may not be UTF-8."""
    return Response(json.dumps(content), status, headers, media_type="application/json")


def as_api_error(error: BarkError, retry_seconds: int) -> ApiError:
    """The answer to an error of the library: the client's fault has its words, ours has none."""
    message = " ".join(str(error).split())
    if isinstance(error, ApiError):
        return error
    if isinstance(error, QueueFullError):
        return ApiError(429, message, code="queue_full", retry_seconds=retry_seconds)
    if isinstance(error, ClosedError):
        return shutting_down()
    if isinstance(error, OptionsError):
        return ApiError(400, message, param=message.split(maxsplit=1)[0])
    for kind, param in _PARAMS:
        if isinstance(error, kind):
            return ApiError(400, message, param=param)
    log.error("failed", extra={"fields": {"error": f"{type(error).__name__}: {message}"}})
    return ApiError(500, "The speech could not be made; the server's log says why")


def shutting_down() -> ApiError:
    """The answer of a server that stops."""
    return ApiError(
        503, "The server is shutting down", code="shutting_down", retry_seconds=_RETRY_SECONDS
    )


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error in OpenAI's form."""
    app.add_exception_handler(BarkError, _answer_bark_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(Exception, _answer_unexpected)


def _kind(status: int) -> str:
    if status == HTTPStatus.UNAUTHORIZED:
        return "authentication_error"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "rate_limit_error"
    return "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"


async def _answer_bark_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, BarkError)
    return as_api_error(error, request.app.state.service.retry_seconds).response()


async def _answer_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = [str(part) for part in first["loc"][1:]]
    if first["type"] == "json_invalid":
        return ApiError(400, f"The body is no JSON: {first['ctx']['error']}").response()
    message = " ".join(first["msg"].split())
    if not place:
        message = "expected a JSON object with content-type: application/json"
        return ApiError(400, f"The body is something else; {message}").response()
    return ApiError(400, f"{place[0]}: {message}", param=place[0]).response()


async def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    sentence = _sentence(request, error, headers)
    return ApiError(error.status_code, sentence, headers=headers).response()


def _methods(request: Request) -> set[str]:
    """What an address takes; Starlette knows only that of the first route which has it."""
    found: set[str] = set()
    for route in request.app.state.routes:
        if route.matches(request.scope)[0] != Match.NONE:
            found |= route.methods
    return found


def _sentence(request: Request, error: HTTPException, headers: Mapping[str, str]) -> str:
    where = f"{request.method} {request.url.path}"
    if error.status_code == HTTPStatus.NOT_FOUND:
        return f"{where}: no such thing; /openapi.json lists what there is"
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return f"{where}: the method is not allowed; expected {headers['Allow']}"
    return error.detail


async def _answer_unexpected(request: Request, error: Exception) -> Response:
    return ApiError(500, "The server failed; its log says why").response()
