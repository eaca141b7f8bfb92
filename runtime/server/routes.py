"""Routes of the server, each with all of its responses."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Form, Request, Response, UploadFile
from fastapi.responses import HTMLResponse
from prometheus_client import CONTENT_TYPE_LATEST

from bark_onnx.graphs.errors import VoiceError
from bark_onnx.runtime.audio.files.formats import MEDIA_TYPES
from bark_onnx.runtime.server.clients import client_of
from bark_onnx.runtime.server.errors import bad_upload
from bark_onnx.runtime.server.middleware import SPEECH_PATH
from bark_onnx.runtime.server.page_files import INDEX, page_response
from bark_onnx.runtime.server.response import SpeechResponse
from bark_onnx.runtime.server.schema import (
    Deleted,
    ErrorBody,
    Model,
    ModelList,
    Status,
    VoiceList,
    VoiceObject,
)
from bark_onnx.runtime.server.service import SpeechService
from bark_onnx.runtime.server.speech_request import SpeechRequest
from bark_onnx.runtime.server.speech_task import SpeechTask
from bark_onnx.runtime.server.uploads import UPLOAD_NAME

Result = TypeVar("Result")

router = APIRouter()

_RETRY = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
_EVENT = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"enum": ["speech.audio.delta", "speech.audio.done", "error"]},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "description": "delta: {type, audio}, audio in base64. done: {type, usage}. error, "
            "instead of done: {type, error}.",
        },
    },
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {
        status: {
            "model": ErrorBody,
            "description": HTTPStatus(status).phrase,
            **({"headers": _RETRY} if status in (429, 503) else {}),
        }
        for status in statuses
    }


def _service(request: Request) -> SpeechService:
    service: SpeechService = request.app.state.service
    return service


async def _in_thread(request: Request, function: Callable[..., Result], *args: Any) -> Result:
    """Call a function that uses files, so that the event loop does not wait for them."""
    return await _service(request).threads.run(client_of(request.scope), function, *args)


@router.post(
    SPEECH_PATH,
    summary="Create speech",
    tags=["speech"],
    response_class=Response,
    response_model=None,
    responses={
        200: {
            "description": "The audio, or events with parts of it.",
            "content": {
                **dict.fromkeys(MEDIA_TYPES.values(), _BINARY),
                "text/event-stream": {"schema": _EVENT},
            },
            "headers": {
                "X-Bark-Seed": {
                    "description": "Seed that generates the same speech again.",
                    "schema": {"type": "integer"},
                }
            },
        },
        **_errors(400, 401, 403, 404, 408, 413, 429, 500, 503, 504),
    },
)
async def create_speech(body: SpeechRequest, request: Request) -> Response:
    """Generate speech for a text. Each segment of a long text is sent as soon as it is ready."""
    service = _service(request)
    service.check_ready()
    return SpeechResponse(SpeechTask(body, service, client_of(request.scope)), service)


@router.get("/v1/models", summary="List models", tags=["models"], responses=_errors(401, 403))
async def list_models(request: Request) -> ModelList:
    """The one model, under its own name and the names that OpenAI's clients use."""
    service = _service(request)
    return ModelList(data=[_model(service, name) for name in service.model_ids])


@router.get(
    "/v1/models/{model_id:path}",
    summary="Retrieve a model",
    tags=["models"],
    responses=_errors(401, 403, 404),
)
async def retrieve_model(model_id: str, request: Request) -> Model:
    """One of the names of `/v1/models`."""
    service = _service(request)
    service.check_model(model_id)
    return _model(service, model_id)


@router.get(
    "/v1/audio/voices",
    summary="List voices",
    tags=["voices"],
    responses=_errors(401, 403, 503),
)
async def list_voices(request: Request) -> VoiceList:
    """Aliases, uploaded voices, and voices of the bundle."""
    registry = _service(request).voices
    labels = await _in_thread(request, registry.labels)
    return VoiceList(
        voices=[
            VoiceObject(id=name, name=label, language=registry.language(name))
            for name, label in labels.items()
        ]
    )


@router.post(
    "/v1/audio/voices",
    status_code=201,
    summary="Upload a voice",
    tags=["voices"],
    responses=_errors(400, 401, 403, 408, 409, 413, 500, 503),
)
async def upload_voice(
    request: Request,
    name: Annotated[str, Form(pattern=UPLOAD_NAME, description="Name of the voice.")],
    file: Annotated[UploadFile, "File written by `Voice.save`, .npz."],
) -> VoiceObject:
    """Store a voice for later requests. Needs a server that was started with --uploads."""
    registry = _service(request).voices
    try:
        await _in_thread(request, registry.add, name, await file.read())
    except VoiceError as error:
        raise bad_upload(error) from error
    return VoiceObject(id=name, name=name, language=registry.language(name))


@router.delete(
    "/v1/audio/voices/{voice_id:path}",
    summary="Delete an uploaded voice",
    tags=["voices"],
    responses=_errors(401, 403, 404, 500, 503),
)
async def delete_voice(voice_id: str, request: Request) -> Deleted:
    """Delete an uploaded voice; other voices cannot be deleted."""
    await _in_thread(request, _service(request).voices.remove, voice_id)
    return Deleted(id=voice_id)


@router.get("/health", summary="Check liveness", tags=["operations"])
async def health() -> Status:
    """Always ok: a response shows that the process is alive."""
    return Status(status="ok")


@router.get(
    "/ready",
    summary="Check readiness",
    tags=["operations"],
    responses=_errors(503),
)
async def ready(request: Request) -> Status:
    """Ready once the bundle is loaded and warmed up, while speech can be generated."""
    service = _service(request)
    service.check_ready()
    for tier in service.tiers.values():
        tier.check_ready()
    service.readiness.check()
    return Status(status="ready")


@router.get(
    "/metrics",
    summary="Metrics",
    tags=["operations"],
    response_class=Response,
    responses={
        200: {
            "description": "Metrics in Prometheus' text format.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        **_errors(401, 403),
    },
)
async def metrics(request: Request) -> Response:
    """Requests by outcome, queue, slots, durations and batch sizes for Prometheus."""
    return Response(await _service(request).metrics_text(), media_type=CONTENT_TYPE_LATEST)


@router.get("/", summary="Web page", tags=["operations"], response_class=HTMLResponse)
async def page() -> Response:
    """Page with a form for a text and a voice, and a player."""
    return page_response(INDEX)


@router.get("/page/{name}", include_in_schema=False)
async def page_file(name: str) -> Response:
    """Another file of the page."""
    return page_response(name)


def _model(service: SpeechService, name: str) -> Model:
    return Model(id=name, created=service.created, owned_by="bark-onnx")
