"""JSON of a speech request: OpenAI's fields, generation options, and options of long text."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from bark_onnx.runtime.audio.files.formats import ResponseFormat
from bark_onnx.runtime.options.generation import SAMPLING_PRESETS, GenerationOptions
from bark_onnx.runtime.options.stream import History, StreamOptions
from bark_onnx.runtime.text.languages import LANGUAGE_CODES

_MAX_INT = 2**31 - 1


def _as_integer(value: Any) -> Any:
    """A number without a fraction is an integer, as in JSON Schema, however it is written."""
    is_whole = isinstance(value, float) and value.is_integer()
    return int(value) if is_whole else value


Integer = Annotated[int, BeforeValidator(_as_integer)]
Temperature = Annotated[
    float | None,
    Field(ge=1e-6, le=1e6, description="Below 1 is more conservative, above 1 more varied."),
]
TopK = Annotated[
    Integer | None,
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


VoiceId = str | VoiceReference | None
SpeakerName = Annotated[str, Field(min_length=1, max_length=64)]


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
    semantic_max_new_tokens: Integer | None = Field(
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


class LongTextSettings(_Strict):
    """Fields of `StreamOptions`, with its names and limits."""

    language: str | None = Field(
        None,
        description="Language of input, whose sentences are split; null: detected.",
        json_schema_extra={"enum": [*LANGUAGE_CODES, None]},
    )
    max_seconds: float | None = Field(
        None,
        ge=1,
        le=100,
        description="Duration of a segment, estimated from its tokens; null: the checkpoint's, "
        "13 for Suno's.",
    )
    history: History = Field(
        "first",
        description="What a segment continues. voice: its voice. previous: the speaker's last "
        "segment; the tone carries on, and may drift. first: its voice, or, if that is null, the "
        "speaker's first segment.",
    )
    silence_seconds: float | None = Field(
        None,
        ge=0,
        le=60,
        description="Silence between two segments; null: the server's default, or 0 with "
        "crossfade_seconds.",
    )
    crossfade_seconds: float = Field(
        0.0, ge=0, le=60, description="Overlap of two segments, instead of silence."
    )
    attempts: Integer = Field(
        1,
        ge=1,
        le=10,
        description="Tries per segment until one is not silent, clipped or too long.",
    )
    trim: bool = Field(False, description="Cut silence off both ends of each segment.")
    limit_duration: bool = Field(
        False, description="End a segment that runs far longer than its text."
    )
    normalize_peak: float | None = Field(
        None, gt=0, le=1, description="Level of the loudest sample of each segment."
    )

    def stream_options(self, *, silence_seconds: float, concurrency: int) -> StreamOptions:
        """Return the settings as the library's options.

        Args:
            silence_seconds: Silence of requests that set neither silence nor a cross-fade.
            concurrency: Segments generated in parallel, unless one continues the other.

        Raises:
            OptionsError: A value is out of range, or two values exclude each other.
        """
        fields = {name: getattr(self, name) for name in LongTextSettings.model_fields}
        if self.silence_seconds is None and not self.crossfade_seconds:
            fields["silence_seconds"] = silence_seconds
        return StreamOptions(**fields, concurrency=1 if self.history == "previous" else concurrency)


class SpeechRequest(BarkSettings, LongTextSettings):
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
    voice: VoiceId = Field(
        None,
        description="An id of /v1/audio/voices, or a language such as german or de-3; "
        "null: the model chooses a voice.",
    )
    speakers: Annotated[dict[SpeakerName, VoiceId], Field(max_length=32)] | None = Field(
        None,
        description='Voices by the names that lines of input begin with: {"Anna": "alloy"} for '
        '"Anna: Hello!". Lines before the first name have voice.',
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
    seed: Integer | None = Field(
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
        return _voice_name(self.voice)

    @property
    def speaker_voices(self) -> dict[str, str | None]:
        """Names of the voices by speaker."""
        return {name: _voice_name(voice) for name, voice in (self.speakers or {}).items()}

    def generation_options(self) -> GenerationOptions:
        """Return the settings as the library's options.

        Raises:
            OptionsError: A value is out of range.
        """
        return SAMPLING_PRESETS[self.sampling]().replace(**self.options())


def _voice_name(voice: VoiceId) -> str | None:
    return voice.id if isinstance(voice, VoiceReference) else voice
