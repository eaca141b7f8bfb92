"""FastAPI application: routes, error handlers, middleware, OpenAPI document."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.types import Lifespan

from bark_onnx.runtime.server.access import HostRule
from bark_onnx.runtime.server.api_keys import ApiKeys
from bark_onnx.runtime.server.errors import add_error_handlers
from bark_onnx.runtime.server.middleware import GUARDED, RequestMiddleware
from bark_onnx.runtime.server.page_files import read_page
from bark_onnx.runtime.server.routes import router
from bark_onnx.runtime.server.service import SpeechService
from bark_onnx.runtime.server.tiers import tier_router

_CORS: dict[str, Any] = {
    "allow_methods": ["GET", "POST", "DELETE"],
    "allow_headers": ["authorization", "content-type"],
    "expose_headers": ["x-bark-seed", "x-request-id"],
}
_SHARED_ERRORS = (421, 431, 500)
_THREADS = 2  # that load the bundle and encode; each keeps memory, 15 MB for flac


class _Application(FastAPI):
    """FastAPI with an OpenAPI document of the responses that this server really sends."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = _completed_document(super().openapi(), self.state.service)
        return self.openapi_schema


def create_app(
    service: SpeechService, *, host: str = "127.0.0.1", loads_first: bool = False
) -> FastAPI:
    """Create the application of a service, which it starts and stops.

    Args:
        service: The served bundle.
        host: Name or address that the server listens on.
        loads_first: Whether no request is answered before the bundle is loaded.

    Raises:
        OptionsError: The file of API keys cannot be read, or a key in it is invalid.
    """
    settings = service.settings
    keys = ApiKeys(settings.api_key, settings.api_key_file)
    read_page()

    app = _Application(
        title="bark-onnx",
        summary="Bark text-to-speech behind OpenAI's speech API",
        version=version("bark-onnx"),
        docs_url=None,  # FastAPI's pages load scripts from other sites
        redoc_url=None,
        redirect_slashes=False,  # the middleware removes them
        lifespan=_lifespan(service, loads_first=loads_first),
    )
    app.state.service = service
    routers = [router, tier_router] if service.tiers else [router]
    app.state.routes = [route for each in routers for route in each.routes]
    for each in routers:
        app.include_router(each)
    add_error_handlers(app)
    app.add_middleware(
        RequestMiddleware,
        settings=settings,
        hosts=HostRule(host, settings.allowed_hosts),
        keys=keys,
        metrics=service.metrics,
        readiness=service.readiness,
    )
    if settings.cors_origins:
        app.add_middleware(CORSMiddleware, allow_origins=settings.cors_origins, **_CORS)
    return app


def _lifespan(service: SpeechService, *, loads_first: bool) -> Lifespan[FastAPI]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(_THREADS, "bark-onnx server"))
        loading = asyncio.create_task(service.start())
        if loads_first:
            await loading
            if service.startup_error is not None:
                raise service.startup_error
        yield
        await loading
        await service.stop()

    return lifespan


def _completed_document(document: dict[str, Any], service: SpeechService) -> dict[str, Any]:
    """Remove the status 422, which this server never sends; add what all operations share."""
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            for status in _SHARED_ERRORS:
                operation["responses"].setdefault(str(status), _error_response(status))
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["SpeechRequest"]["properties"]["input"]["maxLength"] = (
        service.settings.max_text_characters
    )
    if service.settings.requires_key:
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        for path, operations in document["paths"].items():
            if path.startswith(GUARDED):
                for operation in operations.values():
                    operation["security"] = [{"key": []}]
    return document


def _error_response(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/ErrorBody"}
    return {
        "description": HTTPStatus(status).phrase,
        "content": {"application/json": {"schema": schema}},
    }
