"""Decoder: a causal transformer with one cache slot per sequence."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.voices.voice import Tokens
from bark_onnx.runtime.inference.draws import Draw, StepScores
from bark_onnx.runtime.inference.sampling import Logits

Result = TypeVar("Result")


@dataclass(frozen=True)
class StepInput:
    """Tokens to run after the first `past_length` cached tokens of a sequence."""

    input_ids: Tokens  # (n,)
    past_length: int  # cached tokens that stay valid
    history_ids: Tokens | None = None  # (n,), ids whose embeddings are added to those of input_ids
    draw: Draw | None = None  # of the token that follows; None: the sequence receives the logits


def split_step(step: StepInput, most: int) -> Iterator[StepInput]:
    """Split a step into parts of nearly equal length, of at most `most` tokens."""
    count = len(step.input_ids)
    bounds = np.linspace(0, count, -(-count // most) + 1).astype(int)
    for begin, end in pairwise(bounds.tolist()):
        history = None if step.history_ids is None else step.history_ids[begin:end]
        yield StepInput(step.input_ids[begin:end], step.past_length + begin, history)


SequenceGenerator = Generator[StepInput, Any, Result]


class Decoder(Protocol):
    """A causal transformer with a cache slot for each of several sequences.

    Returned logits are valid until the next call.
    """

    slots: int  # most sequences at a time
    lengths: NDArray[np.int64]  # (slots,), tokens in the cache of each slot

    def prepare(self) -> None:
        """Do what must not happen during requests, in the thread that will decode."""

    def prefill(self, slot: int, step: StepInput) -> Logits:
        """Run tokens of one sequence; return the logits (n,) after the last one."""

    def decode(self, input_ids: Tokens) -> NDArray[np.float32]:
        """Run one token of each of the first len(input_ids) slots; return logits (sequences, n)."""

    def copy_slot(self, source: int, target: int) -> None:
        """Overwrite the cache of `target` with that of `source`, which may change."""

    def swap_slots(self, first: int, second: int) -> None:
        """Exchange the caches of two slots."""


@runtime_checkable
class ScoringDecoder(Decoder, Protocol):
    """A decoder that does not return all logits of a run unless they are asked for."""

    def prefill_scores(self, slots: Sequence[int], steps: Sequence[StepInput]) -> StepScores:
        """As `prefill`, of slots from `shared_prefill`, whose steps begin at 0 and are as long."""

    def shared_prefill(self, slots: Sequence[int]) -> list[int]:
        """The first slot, and those of the others whose prefill can be in the same run."""

    def decode_scores(self, input_ids: Tokens) -> StepScores:
        """As `decode`."""


class WholeScores:
    """Scores of the runs of a decoder that returns all logits.

    Args:
        decoder: Runs the sequences.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    def prefill_scores(self, slots: Sequence[int], steps: Sequence[StepInput]) -> StepScores:
        """See `ScoringDecoder`."""
        ((slot, step),) = zip(slots, steps, strict=True)
        logits = self._decoder.prefill(slot, step)
        return StepScores(lambda: logits[None])

    def shared_prefill(self, slots: Sequence[int]) -> list[int]:
        """See `ScoringDecoder`."""
        return [slots[0]]

    def decode_scores(self, input_ids: Tokens) -> StepScores:
        """See `ScoringDecoder`."""
        logits = self._decoder.decode(input_ids)
        return StepScores(lambda: logits)
