"""A text streamed with one set of options, and what can be seen of its segments."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.runtime import Bark, GenerationOptions, Speech, StreamOptions
from bark_onnx.runtime.audio.timeline import SpeechTimeline
from bark_onnx.runtime.longform.quality import quality_issues
from recognition.speakers import Embedder
from recognition.utterances import semantic_limit

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class StreamFigures:
    """A text streamed with one set of options, or recorded by the teacher."""

    name: str
    segments: int
    audio_seconds: float
    word_error_rates: dict[str, float] = field(default_factory=dict)  # percent, by recognizer
    ended_share: float | None = None  # of segments that were not cut
    issues: int | None = None  # segments that fail the quality checks
    mean_likeness: float | None = None  # of later segments to the first one
    least_likeness: float | None = None
    real_time_factor: float | None = None


@dataclass(frozen=True)
class Script:
    """A text, and who says it."""

    text: str
    voice: str  # an empty name is none
    speakers: Mapping[str, str] = field(default_factory=dict)  # voices by name, of a dialogue


Sound = tuple[StreamFigures, Samples, int]  # with the sample rate


def stream_text(
    bark: Bark,
    script: Script,
    stream: StreamOptions,
    options: Mapping[str, Any],
    seed: int,
    embedder: Embedder,
) -> Sound:
    """Stream a text; returns its figures, all but the words, its samples and their rate.

    Args:
        bark: A loaded bundle.
        script: Text of any length, and its voices.
        stream: Options of the stream.
        options: Generation options by name, besides the bundle's own.
        seed: Seed of the text.
        embedder: Embedder of speakers.
    """
    chosen = GenerationOptions().replace(**options)
    voice = None if script.speakers else script.voice or None
    settings: dict[str, Any] = {"seed": seed, "options": chosen, "stream": stream}
    plan = bark.plan(script.text, voice=voice, speakers=script.speakers, **settings)
    started = time.perf_counter()
    speeches = list(bark.stream(plan))
    taken = time.perf_counter() - started
    samples = joined(speeches)
    seconds = len(samples) / bark.sample_rate_hz
    most = semantic_limit(bark, options)
    alike = [] if script.speakers else likeness(speeches, embedder)
    pairs = zip(speeches, plan.segments, strict=True)
    row = StreamFigures(
        name=", ".join(f"{name} {value}" for name, value in _pauses(stream).items()),
        segments=len(speeches),
        audio_seconds=seconds,
        ended_share=sum(len(each.semantic_tokens) < most for each in speeches) / len(speeches),
        issues=sum(bool(quality_issues(speech, segment)) for speech, segment in pairs),
        mean_likeness=sum(alike) / len(alike) if alike else None,
        least_likeness=min(alike, default=None),
        real_time_factor=taken / seconds,
    )
    return row, samples, bark.sample_rate_hz


def _pauses(stream: StreamOptions) -> dict[str, Any]:
    names = {"history": stream.history}
    if stream.crossfade_seconds:
        return {**names, "cross-fade": stream.crossfade_seconds}
    return {**names, "silence": stream.gap_seconds}


def joined(speeches: Sequence[Speech]) -> Samples:
    """The speeches of a stream as one, with the silence between them."""
    timeline = SpeechTimeline(speeches[0].sample_rate_hz)
    return np.concatenate([*(timeline.add(speech) for speech in speeches), timeline.finish()])


def likeness(speeches: Sequence[Speech], embedder: Embedder) -> list[float]:
    """Cosine of the speaker of each later segment and that of the first."""
    first, *others = (embedder.embed(each.samples, each.sample_rate_hz) for each in speeches)
    return [float(first @ other) for other in others]
