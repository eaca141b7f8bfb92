"""Error responses in OpenAI's form: {"error": {"message", "type", "param", "code"}}."""

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
    joined_lines,
    shortened,
)
from bark_onnx.runtime.server.logs import log, request_id

MAX_SHOWN_CHARACTERS = 60  # of a client's name or path in a message

_SHUTDOWN_RETRY_SECONDS = 5  # until a restarted server accepts requests
_FASTAPI_PARSING_ERROR = "There was an error parsing the body"


class ApiError(ServerError):
    """An error response.

    Args:
        status: HTTP status.
        message: One line.
        param: Field of the request that is at fault.
        code: Machine-readable reason.
        retry_seconds: Value of the header Retry-After.
        headers: Further headers.
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
        """Outcome of the request, as counted by /metrics."""
        return outcome_of(self.status)

    def body(self) -> dict[str, Any]:
        """JSON of the response."""
        return {
            "error": {
                "message": str(self),
                "type": _error_type(self.status),
                "param": self.param,
                "code": self.code,
            }
        }

    def response(self) -> Response:
        """HTTP response."""
        return json_response(self.body(), self.status, self.headers)


def outcome_of(status: int) -> str:
    """Outcome of a request with this status; 0 is a request without a response."""
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
    """JSON response in ASCII: a message may quote text of the client that UTF-8 cannot encode."""
    return Response(json.dumps(content), status, headers, media_type="application/json")


def quoted(text: str) -> str:
    """Text of a client in a message, cut where it is long."""
    return repr(shortened(text, MAX_SHOWN_CHARACTERS))


def as_api_error(error: BarkError, retry_seconds: int) -> ApiError:
    """Response to an error of the library.

    An error of the client is a 4xx with the library's message. Any other one is the server's own:
    a file that cannot be read or written, missing memory, a model that fails.
    """
    message = " ".join(str(error).split())
    if isinstance(error, ApiError):
        return error
    if _is_failure_of_system(error):
        return own_failure(error)
    if isinstance(error, QueueFullError):
        return ApiError(429, message, code="queue_full", retry_seconds=retry_seconds)
    if isinstance(error, ClosedError):
        return shutting_down()
    if isinstance(error, OptionsError):
        return ApiError(400, message, param=message.split(maxsplit=1)[0])
    if isinstance(error, TextError):
        return ApiError(400, message, param="input")
    return own_failure(error)


def bad_upload(error: BarkError) -> ApiError:
    """Response to an uploaded file that cannot be used."""
    return ApiError(400, joined_lines(error), param="file")


def own_failure(error: BaseException) -> ApiError:
    """Log a failure of the server itself; returns a response that does not reveal the cause."""
    message = " ".join(str(error).split())
    given_id = request_id.get()
    fields = {"error": f"{type(error).__name__}: {message}", "request_id": given_id}
    is_expected = isinstance(error, BarkError)
    log.error("failed", exc_info=None if is_expected else error, extra={"fields": fields})
    return ApiError(500, f"The server failed; its log has the cause, with request_id {given_id}")


def shutting_down() -> ApiError:
    """Response of a server that is stopping."""
    return ApiError(
        503,
        "The server is shutting down",
        code="shutting_down",
        retry_seconds=_SHUTDOWN_RETRY_SECONDS,
    )


def add_error_handlers(app: FastAPI) -> None:
    """Register handlers that respond to every error in OpenAI's form."""
    app.add_exception_handler(BarkError, _handle_bark_error)
    app.add_exception_handler(RequestValidationError, _handle_validation_error)
    app.add_exception_handler(HTTPException, _handle_http_error)


def _is_failure_of_system(error: BaseException | None) -> bool:
    """Whether an error comes from the operating system: files, memory."""
    while error is not None:
        if isinstance(error, OSError | MemoryError):
            return True
        error = error.__cause__
    return False


def _error_type(status: int) -> str:
    if status == HTTPStatus.UNAUTHORIZED:
        return "authentication_error"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "rate_limit_error"
    return "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"


async def _handle_bark_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, BarkError)
    return as_api_error(error, request.app.state.service.retry_seconds).response()


async def _handle_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    location = [shortened(str(part), MAX_SHOWN_CHARACTERS) for part in first["loc"][1:]]
    if first["type"] == "json_invalid":
        return ApiError(400, f"The body is not JSON: {first['ctx']['error']}").response()
    message = " ".join(first["msg"].split())
    if not location:
        expected = "expected a JSON object with content-type: application/json"
        return ApiError(400, f"The body has another type; {expected}").response()
    return ApiError(400, f"{location[0]}: {message}", param=location[0]).response()


async def _handle_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if _is_failure_of_system(error.__cause__):  # FastAPI's 400 for any error while it parses
        return own_failure(error.__cause__ or error).response()
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_allowed_methods(request)))
    message = _http_message(request, error, headers)
    return ApiError(error.status_code, message, headers=headers).response()


def _allowed_methods(request: Request) -> set[str]:
    """Methods of all routes of a path; Starlette only reports those of the first route."""
    methods: set[str] = set()
    for route in request.app.state.routes:
        if route.matches(request.scope)[0] != Match.NONE:
            methods |= route.methods
    return methods | {"HEAD"} if "GET" in methods else methods


def _http_message(request: Request, error: HTTPException, headers: Mapping[str, str]) -> str:
    method, path = request.method, request.url.path
    where = " ".join(shortened(part, MAX_SHOWN_CHARACTERS) for part in (method, path))
    if error.status_code == HTTPStatus.NOT_FOUND:
        return f"{where}: not found; see /openapi.json for all paths"
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return f"{where}: method not allowed; expected {headers['Allow']}"
    if error.detail == _FASTAPI_PARSING_ERROR:
        return "The body is not JSON; expected an object in UTF-8, not compressed"
    return error.detail
