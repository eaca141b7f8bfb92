"""The plan of a long text: its segments, voices and seed, checked before anything is generated."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bark_onnx.graphs.voices.voice import Voice
from bark_onnx.runtime.inference.requests import RequestBuilder
from bark_onnx.runtime.options.generation import GenerationOptions
from bark_onnx.runtime.options.stream import StreamOptions
from bark_onnx.runtime.provenance.provenance import Provenance
from bark_onnx.runtime.seeds import resolve_seed
from bark_onnx.runtime.text.dialogue import split_turns
from bark_onnx.runtime.text.segments import Segment, split_text
from bark_onnx.runtime.voices.library import VoiceLike

DEFAULT_SPEAKER = ""  # speaks the lines that no named speaker has


@dataclass(frozen=True)
class StreamPlan:
    """A long text, split and checked. Made by `Bark.plan`."""

    segments: tuple[Segment, ...]
    seed: int  # of the whole text
    options: GenerationOptions  # with semantic_max_new_tokens set
    stream: StreamOptions
    voices: Mapping[str, Voice | None] = field(repr=False)  # by speaker; None: the model chooses
    provenance: Provenance | None = field(default=None, repr=False)  # of the whole text
    semantic_rate_hz: float = 49.9  # semantic tokens per second of audio


def plan_stream(
    builder: RequestBuilder,
    text: str,
    voices: Mapping[str, VoiceLike],
    *,
    seed: int | None,
    options: GenerationOptions,
    stream: StreamOptions,
) -> StreamPlan:
    """Split a text, load its voices by speaker, and check everything that can be checked.

    Raises:
        BarkError: A voice is unknown, an option out of range, or a speaker has no line.
    """
    seed = resolve_seed(seed)
    resolved = builder.resolve(options)
    loaded = {name: builder.voices.load(voice) for name, voice in voices.items()}
    generation = builder.manifest.generation
    speakers = [name for name in voices if name != DEFAULT_SPEAKER]
    segments = [
        replace(segment, speaker=turn.speaker)
        for turn in split_turns(text, speakers)
        for segment in split_text(
            turn.text,
            count_tokens=builder.tokenizer.count,
            language=stream.language,
            max_seconds=stream.max_seconds or generation.segment_seconds,
            tokens_per_second=generation.text_tokens_per_second,
            max_tokens=generation.semantic.max_input_semantic_length,
        )
    ]
    return StreamPlan(
        segments=tuple(segments),
        seed=seed,
        options=options.replace(semantic_max_new_tokens=resolved.semantic_max_new_tokens),
        stream=stream,
        voices={name: each.voice for name, each in loaded.items()},
        provenance=builder.recorder.record(
            text,
            seed,
            loaded[DEFAULT_SPEAKER].ref,
            options,
            speakers={name: loaded[name].ref for name in speakers},
            stream=stream,
        ),
        semantic_rate_hz=generation.semantic.semantic_rate_hz,
    )
