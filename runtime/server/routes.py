"""The addresses of the server, each with everything that it may answer."""

from http import HTTPStatus
from importlib.resources import files
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response, UploadFile
from fastapi.responses import HTMLResponse
from prometheus_client import CONTENT_TYPE_LATEST

from bark_onnx.runtime.audio.files.formats import MEDIA_TYPES
from bark_onnx.runtime.server.middleware import SPEECH_PATH
from bark_onnx.runtime.server.response import SpeechResponse
from bark_onnx.runtime.server.schema import (
    Deleted,
    ErrorBody,
    Model,
    ModelList,
    SpeechRequest,
    Status,
    VoiceList,
    VoiceObject,
)
from bark_onnx.runtime.server.service import SpeechService
from bark_onnx.runtime.server.speech_task import SpeechTask
from bark_onnx.runtime.server.voices import UPLOAD_NAME

router = APIRouter()
PAGE = files("bark_onnx.runtime.server") / "page"

_PAGE_HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": "default-src 'self'; media-src blob:; img-src 'self' data:; "
    "frame-ancestors 'none'; form-action 'none'; base-uri 'none'",
}
_RETRY = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
_EVENT = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"enum": ["speech.audio.delta", "speech.audio.done", "error"]},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "description": "delta: {type, audio}, audio in base64. done: {type, usage}. error, the "
            "last one where it happens: {type, error}.",
        },
    },
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
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


@router.post(
    SPEECH_PATH,
    summary="Say a text",
    tags=["speech"],
    response_class=Response,
    response_model=None,
    responses={
        200: {
            "description": "The sound, or events with parts of it.",
            "content": {
                **dict.fromkeys(MEDIA_TYPES.values(), _BINARY),
                "text/event-stream": {"schema": _EVENT},
            },
            "headers": {
                "X-Bark-Seed": {
                    "description": "The seed that gives the same speech again.",
                    "schema": {"type": "integer"},
                }
            },
        },
        **_problems(400, 401, 403, 404, 408, 413, 429, 500, 503, 504),
    },
)
async def create_speech(body: SpeechRequest, request: Request) -> Response:
    """Say a text. Long texts are said piece by piece, and sent so unless asked otherwise."""
    service = _service(request)
    service.check_ready()
    return SpeechResponse(SpeechTask(body, service), service)


@router.get(
    "/v1/models", summary="List the model's names", tags=["models"], responses=_problems(401, 403)
)
async def list_models(request: Request) -> ModelList:
    """The bundle under its own name and those that OpenAI's clients use: one and the same."""
    service = _service(request)
    return ModelList(data=[_model(service, name) for name in service.model_ids])


@router.get(
    "/v1/models/{model_id:path}",
    summary="Describe a model",
    tags=["models"],
    responses=_problems(401, 403, 404),
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
    responses=_problems(401, 403, 503),
)
async def list_voices(request: Request) -> VoiceList:
    """Other names for voices, uploaded voices, the bundle's voices."""
    book = _service(request).voices
    return VoiceList(
        voices=[
            VoiceObject(id=name, name=shown, language=book.language(name))
            for name, shown in book.names().items()
        ]
    )


@router.post(
    "/v1/audio/voices",
    status_code=201,
    summary="Upload a voice",
    tags=["voices"],
    responses=_problems(400, 401, 403, 408, 409, 413, 503),
)
async def upload_voice(
    request: Request,
    name: Annotated[str, Form(pattern=UPLOAD_NAME, description="What to call it.")],
    file: Annotated[UploadFile, "The .npz file of a voice, as `to_voice().save()` writes it."],
) -> VoiceObject:
    """Keep a voice for later requests. Off unless the server was started with --uploads."""
    book = _service(request).voices
    book.add(name, await file.read())
    return VoiceObject(id=name, name=name, language=book.language(name))


@router.delete(
    "/v1/audio/voices/{voice_id:path}",
    summary="Delete an uploaded voice",
    tags=["voices"],
    responses=_problems(401, 403, 404, 503),
)
async def delete_voice(voice_id: str, request: Request) -> Deleted:
    """Only voices that were uploaded can go."""
    _service(request).voices.remove(voice_id)
    return Deleted(id=voice_id)


@router.get("/health", summary="Is the process alive?", tags=["operations"])
async def health() -> Status:
    """Always ok where there is an answer."""
    return Status(status="ok")


@router.get(
    "/ready",
    summary="Can it speak?",
    tags=["operations"],
    responses=_problems(503),
)
async def ready(request: Request) -> Status:
    """Ready once the bundle is loaded and has said something; not while shutting down."""
    _service(request).check_ready()
    return Status(status="ready")


@router.get(
    "/metrics",
    summary="Counters for Prometheus",
    tags=["operations"],
    response_class=Response,
    responses={
        200: {
            "description": "Prometheus' text format.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        **_problems(401, 403),
    },
)
async def metrics(request: Request) -> Response:
    """Requests by outcome, queue, slots, times, batch sizes."""
    return Response(_service(request).metrics.text(), media_type=CONTENT_TYPE_LATEST)


@router.get("/", summary="A page to try it", tags=["operations"], response_class=HTMLResponse)
async def page() -> Response:
    """Type a text, choose a voice, hear it."""
    return HTMLResponse((PAGE / "index.html").read_bytes(), headers=_PAGE_HEADERS)


def _model(service: SpeechService, name: str) -> Model:
    return Model(id=name, created=service.created, owned_by="bark-onnx")
