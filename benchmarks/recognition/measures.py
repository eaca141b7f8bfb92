"""What is measured of each utterance, and the figures of many."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from bark_onnx.runtime.longform.quality import trim_silence
from recognition.pitch import Contour, contour, hum, pitch_distances
from recognition.recognizers import Recognizer
from recognition.speakers import Embedder, Embedding
from recognition.utterances import Utterance
from recognition.word_errors import ErrorRate, WordErrors, error_rate, word_errors

_SEMITONE = 100.0  # cents
_SIMILAR_LENGTH = 0.3  # of the teacher's


@dataclass(frozen=True)
class Measured:
    """An utterance and what was found in it."""

    utterance: Utterance
    words: dict[str, WordErrors]  # by recognizer
    spoken_seconds: float  # without silence at both ends
    contour: Contour
    embedding: Embedding | None


@dataclass(frozen=True)
class Figures:
    """Figures of many utterances; None where there is nothing to compare with."""

    name: str
    utterances: int
    audio_seconds: float
    word_error_rates: dict[str, ErrorRate]  # by recognizer
    hum: float | None
    ended_share: float | None = None
    real_time_factor: float | None = None
    length_ratio: float | None = None  # to the teacher's, median
    similar_length_share: float | None = None  # within 30 % of the teacher's
    pitch_cents: float | None = None  # from the teacher's, median
    semitone_share: float | None = None  # of voiced frames, within a semitone of the teacher's
    voiced_frames: int = 0  # that were compared


def measure(
    utterances: Sequence[Utterance],
    recognizers: Sequence[Recognizer],
    embedder: Embedder | None,
    label: str,
) -> list[Measured]:
    """Recognize and analyze utterances.

    Args:
        utterances: Utterances with their sentences.
        recognizers: Recognizers, each of which gets every utterance.
        embedder: Embedder of speakers; None for no comparison of speakers.
        label: Label of the progress bar.
    """
    measured = []
    for utterance in tqdm(utterances, f"measure {label}", unit="sentence"):
        samples, rate = utterance.samples, utterance.sample_rate_hz
        words = {
            recognizer.name: word_errors(utterance.sentence, recognizer.recognize(samples, rate))
            for recognizer in recognizers
        }
        seconds = len(trim_silence(samples, rate)) / rate
        embedding = embedder.embed(samples, rate) if embedder is not None else None
        measured.append(Measured(utterance, words, seconds, contour(samples, rate), embedding))
    return measured


def summarize(name: str, rows: Sequence[Measured], teachers: Sequence[Measured | None]) -> Figures:
    """Figures of utterances.

    Args:
        name: Name of these utterances.
        rows: Utterances, at least one.
        teachers: The teacher's recording of each; None for none.
    """
    pairs = [(row, other) for row, other in zip(rows, teachers, strict=True) if other is not None]
    ended = [row.utterance.ended for row in rows if row.utterance.ended is not None]
    ratios = np.array([row.spoken_seconds / other.spoken_seconds for row, other in pairs])
    cents = np.concatenate(
        [np.zeros(0), *(pitch_distances(row.contour, other.contour) for row, other in pairs)]
    )
    levels = np.array([hum(row.contour) for row in rows])
    seconds = sum(row.utterance.seconds for row in rows)
    return Figures(
        name=name,
        utterances=len(rows),
        audio_seconds=seconds,
        word_error_rates={
            recognizer: error_rate([row.words[recognizer] for row in rows])
            for recognizer in rows[0].words
        },
        hum=_mean(levels[np.isfinite(levels)]),
        ended_share=_mean(np.array(ended)),
        real_time_factor=_finite(sum(row.utterance.taken_seconds for row in rows) / seconds),
        length_ratio=_median(ratios),
        similar_length_share=_mean(np.abs(ratios - 1) <= _SIMILAR_LENGTH),
        pitch_cents=_median(cents),
        semitone_share=_mean(cents <= _SEMITONE),
        voiced_frames=len(cents),
    )


def embeddings_by_speaker(rows: Sequence[Measured]) -> dict[str, list[Embedding]]:
    """Embeddings of utterances by the voice that said them."""
    speakers: dict[str, list[Embedding]] = {}
    for row in rows:
        if row.embedding is not None:
            speakers.setdefault(row.utterance.speaker, []).append(row.embedding)
    return speakers


def _mean(values: NDArray[Any]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _median(values: NDArray[Any]) -> float | None:
    return float(np.median(values)) if len(values) else None


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
