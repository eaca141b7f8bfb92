"""Draws utterances in batches of about equal length, each with another one of its speaker."""

from collections import defaultdict

import torch

from bark_onnx.export.demo.corpus import Utterance

_MIN_HISTORY = 100  # tokens of an utterance that serves as the voice of another


class Sampler:
    """Draws utterances.

    Args:
        utterances: The utterances of all speakers.
        history_share: Share of the utterances that follow a voice.
    """

    def __init__(self, utterances: list[Utterance], history_share: float) -> None:
        self._sorted = sorted(utterances, key=lambda utterance: len(utterance.semantic))
        self._share = history_share
        self._voices = defaultdict(list)
        for utterance in utterances:
            if len(utterance.semantic) >= _MIN_HISTORY:
                self._voices[utterance.teacher].append(utterance)

    def draw(
        self, count: int, generator: torch.Generator
    ) -> list[tuple[Utterance, Utterance | None]]:
        """Utterances of about equal length, each with an utterance of its speaker or None."""
        start = _integer(len(self._sorted) - count + 1, generator)
        return [
            (each, self._voice(each, generator)) for each in self._sorted[start : start + count]
        ]

    def _voice(self, utterance: Utterance, generator: torch.Generator) -> Utterance | None:
        if torch.rand((), generator=generator) >= self._share:
            return None
        voices = self._voices[utterance.teacher]
        return voices[_integer(len(voices), generator)]


def _integer(limit: int, generator: torch.Generator) -> int:
    return int(torch.randint(limit, (), generator=generator))
