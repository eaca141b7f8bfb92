"""Sentences said by a bundle, and by the teachers of its voices."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.runtime import Bark, GenerationOptions
from recognition.teachers import Flite

_WARM_UP = "Hello."


@dataclass(frozen=True)
class Utterance:
    """A sentence that was said."""

    sentence: str
    speaker: str  # a voice of the bundle; empty without one
    samples: NDArray[np.float32]
    sample_rate_hz: int
    taken_seconds: float = float("nan")  # for generating it
    ended: bool | None = None  # False: cut at the most tokens; None: of a recording

    @property
    def seconds(self) -> float:
        """Length of the audio."""
        return len(self.samples) / self.sample_rate_hz


def dealt(sentences: Sequence[str], voices: Sequence[str]) -> list[tuple[str, str]]:
    """Each sentence with a voice, which take turns."""
    return [(sentence, voices[i % len(voices)]) for i, sentence in enumerate(sentences)]


def generate(
    bark: Bark, said: Sequence[tuple[str, str]], seed: int, options: Mapping[str, Any]
) -> list[Utterance]:
    """Say sentences one after the other, each with a seed of its own.

    Args:
        bark: A loaded bundle.
        said: Sentences, and voices; an empty name is none.
        seed: Seed of the first sentence; the others follow.
        options: Generation options by name, besides the bundle's own.
    """
    most = semantic_limit(bark, options)
    bark.speak(_WARM_UP, seed=0, semantic_max_new_tokens=min(20, most))
    utterances = []
    for index, (sentence, voice) in enumerate(tqdm(said, "speak", unit="sentence")):
        started = time.perf_counter()
        speech = bark.speak(sentence, voice=voice or None, seed=seed + index, **options)
        taken = time.perf_counter() - started
        ended = len(speech.semantic_tokens) < most
        utterances.append(
            Utterance(sentence, voice, speech.samples, speech.sample_rate_hz, taken, ended)
        )
    return utterances


def semantic_limit(bark: Bark, options: Mapping[str, Any]) -> int:
    """Most semantic tokens of an utterance: one that has so many was cut."""
    manifest = Bundle(bark.describe().bundle, verify=False).manifest
    chosen = GenerationOptions().replace(**options)
    return chosen.resolve(manifest.generation, manifest.shapes.semantic).semantic_max_new_tokens


def record(
    said: Sequence[tuple[str, str]], teachers: Mapping[str, Flite]
) -> list[Utterance | None]:
    """The teachers' recordings of the same sentences; None for a voice without a teacher."""
    recordings: list[Utterance | None] = []
    for sentence, voice in tqdm(said, "record", unit="sentence"):
        teacher = teachers.get(voice)
        recordings.append(
            Utterance(sentence, voice, *teacher.record(sentence)) if teacher else None
        )
    return recordings
