"""Requests and responses: OpenAI's fields, and Bark's own beside them."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from bark_onnx.runtime.audio.encoders.ffmpeg import ResponseFormat
from bark_onnx.runtime.options.generation import SAMPLING_PRESETS, GenerationOptions

_MAX_INT = 2**31 - 1

Temperature = Annotated[
    float | None,
    Field(ge=1e-6, le=1e6, description="Below 1 is more conservative, above 1 more varied."),
]
TopK = Annotated[
    int | None,
    Field(ge=0, le=_MAX_INT, description="Number of most probable tokens to sample from; 0: all."),
]
TopP = Annotated[
    float | None,
    Field(gt=0, le=1, description="Total probability of the tokens to sample from."),
]
DoSample = Annotated[
    bool | None, Field(description="Sample tokens, or always take the most probable one.")
]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class VoiceReference(_Strict):
    """A voice, by its id."""

    id: str


class BarkSettings(_Strict):
    """Fields of `GenerationOptions`; null: the checkpoint's default.

    A name without a stage sets all stages that have it; a name with a stage takes precedence.
    """

    temperature: Temperature = None
    top_k: TopK = None
    top_p: TopP = None
    do_sample: DoSample = None
    semantic_do_sample: DoSample = None
    semantic_temperature: Temperature = None
    semantic_top_k: TopK = None
    semantic_top_p: TopP = None
    semantic_max_new_tokens: int | None = Field(
        None,
        ge=1,
        le=_MAX_INT,
        description="Limit of each segment; 50 tokens are about one second.",
    )
    min_eos_p: TopP = Field(
        None, description="Probability of the end token at which a segment ends."
    )
    min_eos_p_warped: bool | None = Field(
        None,
        description="Compare min_eos_p with the probability after sampling filters, as Suno does.",
    )
    coarse_do_sample: DoSample = None
    coarse_temperature: Temperature = None
    coarse_top_k: TopK = None
    coarse_top_p: TopP = None
    fine_temperature: Temperature = None
    fine_do_sample: DoSample = None

    def options(self) -> dict[str, bool | int | float]:
        """Return the settings that are not null."""
        names = BarkSettings.model_fields
        return {name: value for name in names if (value := getattr(self, name)) is not None}


class SpeechRequest(BarkSettings):
    """A text, and how its speech is generated and encoded."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"model": "tts-1", "input": "Hello [laughs]", "voice": "alloy"}]
        }
    )

    input: str = Field(
        min_length=1,
        description="Text of any length, split into segments of about 13 seconds. It may contain "
        "Bark's tags: [laughs], [sighs], ♪ around lyrics, CAPITALS.",
    )
    model: str | None = Field(
        None, description="An id of /v1/models, all of which are the same model."
    )
    voice: str | VoiceReference | None = Field(
        None,
        description="An id of /v1/audio/voices, or a language such as german or de-3; "
        "null: the model chooses a voice.",
    )
    response_format: ResponseFormat = Field(
        "mp3", description="pcm: signed 16-bit little-endian, mono, 24000 Hz, no header."
    )
    speed: float = Field(1.0, ge=0.25, le=4, description="Tempo of the audio, at the same pitch.")
    stream_format: Literal["audio", "sse"] | None = Field(
        None,
        description="audio: bytes as soon as a segment is ready; headers of wav and flac state no "
        "length. sse: events speech.audio.delta and speech.audio.done. null: as audio, except that "
        "wav and flac are sent as a whole, with their length.",
    )
    instructions: str | None = Field(
        None,
        description="Accepted and ignored: Bark takes no instructions. Choose another voice, or "
        "add tags to the text.",
    )
    seed: int | None = Field(
        None,
        ge=0,
        le=2**63 - 1,
        description="The same seed generates the same speech; null: random.",
    )
    sampling: Literal["transformers", "suno", "greedy"] = Field(
        "transformers",
        description="Defaults of the generation settings. transformers: those of the checkpoint. "
        "suno: those of Suno's code. greedy: the most probable token in every stage.",
    )

    @property
    def voice_name(self) -> str | None:
        """Name of the voice."""
        return self.voice.id if isinstance(self.voice, VoiceReference) else self.voice

    def generation_options(self) -> GenerationOptions:
        """Return the settings as the library's options.

        Raises:
            OptionsError: A value is out of range.
        """
        return SAMPLING_PRESETS[self.sampling]().replace(**self.options())


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
