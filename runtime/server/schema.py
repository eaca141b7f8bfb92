"""What requests and answers look like: OpenAI's fields, and Bark's own beside them."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from bark_onnx.runtime.audio.files.formats import ResponseFormat
from bark_onnx.runtime.options.generation import SAMPLING_PRESETS, GenerationOptions

_LARGEST = 2**31 - 1

Temperature = Annotated[
    float | None,
    Field(ge=1e-6, le=1e6, description="Below 1 is safer, above 1 wilder."),
]
TopK = Annotated[
    int | None, Field(ge=0, le=_LARGEST, description="Draw among this many tokens; 0: among all.")
]
Share = Annotated[
    float | None,
    Field(gt=0, le=1, description="Draw among the likeliest tokens with this share."),
]
DoSample = Annotated[
    bool | None, Field(description="Draw tokens, or always take the most probable.")
]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class VoiceReference(_Strict):
    """A voice by its id."""

    id: str


class BarkSettings(_Strict):
    """Generation settings by the names of `GenerationOptions`; null is the checkpoint's own.

    A name without prefix sets every stage that has it, and a prefixed one wins over it.
    """

    temperature: Temperature = None
    top_k: TopK = None
    top_p: Share = None
    do_sample: DoSample = None
    semantic_do_sample: DoSample = None
    semantic_temperature: Temperature = None
    semantic_top_k: TopK = None
    semantic_top_p: Share = None
    semantic_max_new_tokens: int | None = Field(
        None, ge=1, le=_LARGEST, description="Of each piece; about 50 tokens are a second."
    )
    min_eos_p: Share = Field(
        None, description="End as soon as ending is likelier than this; 0.05 stops babbling."
    )
    min_eos_p_warped: bool | None = Field(
        None, description="Compare min_eos_p with the chance of drawing the end, as Suno does."
    )
    coarse_do_sample: DoSample = None
    coarse_temperature: Temperature = None
    coarse_top_k: TopK = None
    coarse_top_p: Share = None
    fine_temperature: Temperature = None
    fine_do_sample: DoSample = None

    def options(self) -> dict[str, bool | int | float]:
        """The settings that were given."""
        names = BarkSettings.model_fields
        return {name: value for name in names if (value := getattr(self, name)) is not None}


class SpeechRequest(BarkSettings):
    """A text to say."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"model": "tts-1", "input": "Hello [laughs]", "voice": "alloy"}]
        }
    )

    input: str = Field(
        min_length=1,
        description="The text. Bark's tags are part of it: [laughs], [sighs], ♪ around lyrics, "
        "CAPITALS. A long text is cut into pieces of about 13 seconds.",
    )
    model: str | None = Field(
        None, description="An id of /v1/models, which are all the same model; null: that one."
    )
    voice: str | VoiceReference | None = Field(
        None,
        description="A name of /v1/audio/voices, or a language such as german or de-3; "
        "null: the model chooses a voice.",
    )
    response_format: ResponseFormat = Field(
        "mp3", description="pcm: signed 16-bit little-endian, mono, 24000 Hz, no header."
    )
    speed: float = Field(
        1.0, ge=0.25, le=4, description="Stretches or shrinks the finished sound, same pitch."
    )
    stream_format: Literal["audio", "sse"] | None = Field(
        None,
        description="audio: bytes as soon as a piece is done, with an open-ended header for wav "
        "and flac. sse: events speech.audio.delta and speech.audio.done. null: audio, but wav and "
        "flac come whole, so that their header states the length.",
    )
    instructions: str | None = Field(
        None,
        description="Accepted and ignored: Bark cannot be told how to speak. Choose another voice, "
        "or put tags into the text.",
    )
    seed: int | None = Field(
        None, ge=0, le=2**63 - 1, description="The same seed gives the same speech; null draws one."
    )
    sampling: Literal["transformers", "suno", "greedy"] = Field(
        "transformers",
        description="Named settings to start from. transformers: the checkpoint's own, as "
        "transformers reads them. suno: those of Suno's own code. greedy: the most probable token "
        "everywhere.",
    )

    @property
    def voice_name(self) -> str | None:
        """The voice's name, however it was given."""
        return self.voice.id if isinstance(self.voice, VoiceReference) else self.voice

    def generation_options(self) -> GenerationOptions:
        """The settings that the library takes.

        Raises:
            OptionsError: a value is out of range.
        """
        return SAMPLING_PRESETS[self.sampling]().replace(**self.options())


class ErrorDetail(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None = Field(description="The field of the request that is at fault.")
    code: str | None


class ErrorBody(BaseModel):
    """The answer to every request that failed."""

    error: ErrorDetail


class Model(BaseModel):
    """A model, as OpenAI describes it."""

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

    id: str = Field(description="What a request gives as voice.")
    name: str = Field(description="What a person may read.")
    language: str | None = Field(description="Its code, where the name tells it.")


class VoiceList(BaseModel):
    """All voices."""

    voices: list[VoiceObject]


class Deleted(BaseModel):
    """A voice that is gone."""

    id: str
    object: Literal["voice"] = "voice"
    deleted: Literal[True] = True


class Status(BaseModel):
    """How the server is."""

    status: str
