"""JSON of the responses: OpenAI's objects."""

from typing import Literal

from pydantic import BaseModel, Field


class ErrorDetail(BaseModel):
    """An error."""

    message: str
    type: str
    param: str | None = Field(description="Field of the request that is at fault.")
    code: str | None


class ErrorBody(BaseModel):
    """Response of every request that failed."""

    error: ErrorDetail


class Model(BaseModel):
    """A model, in OpenAI's form."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelList(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[Model]


class VoiceObject(BaseModel):
    """A voice."""

    id: str = Field(description="Value of voice in a request.")
    name: str = Field(description="Label for display.")
    language: str | None = Field(description="Code of the language, if the name contains it.")


class VoiceList(BaseModel):
    """All voices."""

    voices: list[VoiceObject]


class Deleted(BaseModel):
    """A deleted voice."""

    id: str
    object: Literal["voice"] = "voice"
    deleted: Literal[True] = True


class Status(BaseModel):
    """State of the server."""

    status: str
