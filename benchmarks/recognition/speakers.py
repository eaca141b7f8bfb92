"""Whether voices sound like different speakers, by the embeddings of a speaker encoder."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
Embedding = NDArray[np.float32]

_RATE_HZ = 16_000


class Embedder(Protocol):
    """What turns speech into a vector that is alike for speech of one speaker."""

    def embed(self, samples: Samples, sample_rate_hz: int) -> Embedding:
        """Vector of length 1 of speech, float32 (n,)."""


class ResemblyzerEmbedder:
    """The speaker encoder of Resemblyzer, on the CPU."""

    def __init__(self) -> None:
        with warnings.catch_warnings():  # of scipy and pkg_resources, about the package's imports
            warnings.simplefilter("ignore")
            import resemblyzer

        self._preprocess: Any = resemblyzer.preprocess_wav
        self._encoder: Any = resemblyzer.VoiceEncoder("cpu", verbose=False)

    def embed(self, samples: Samples, sample_rate_hz: int) -> Embedding:
        """Vector of length 1 of speech, float32 (n,); pauses are cut out before."""
        audio = np.asarray(samples, np.float32)
        if not np.any(audio):  # its level would be divided by
            audio = np.full(_RATE_HZ, 1e-6, np.float32)
        spoken = self._preprocess(np.clip(audio, -1, 1), source_sr=sample_rate_hz)
        embedding: Embedding = self._encoder.embed_utterance(spoken if len(spoken) else audio)
        return embedding


def distinction(
    speakers: Mapping[str, Sequence[Embedding]],
    references: Mapping[str, Sequence[Embedding]] | None = None,
) -> float:
    """Share of comparisons in which the same speaker is more alike than a different one.

    A comparison is of one utterance with one of the same speaker and with one of another speaker.

    Args:
        speakers: Embeddings of utterances by speaker.
        references: Embeddings that they are compared with, by the same names; None compares the
            utterances with each other.

    Returns:
        A share from 0 to 1, ties half; NaN with fewer than two speakers.
    """
    others = speakers if references is None else references
    wins: list[float] = []
    for name, embeddings in speakers.items():
        foreign = [each for other, row in others.items() if other != name for each in row]
        for index, embedding in enumerate(embeddings):
            own = [
                each
                for position, each in enumerate(others.get(name, ()))
                if references is not None or position != index
            ]
            if own and foreign:
                same, different = np.stack(own) @ embedding, np.stack(foreign) @ embedding
                gaps = same[:, None] - different[None]
                wins.append(float(np.mean((gaps > 0) + 0.5 * (gaps == 0))))
    return float(np.mean(wins)) if wins else float("nan")
