"""What a decoder is: a causal transformer with one cache slot per sequence."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.voices.voice import Tokens
from bark_onnx.runtime.inference.sampling import Logits

Result = TypeVar("Result")


@dataclass(frozen=True)
class StepInput:
    """Tokens to run after the first `past_length` tokens of what a row has fed before."""

    input_ids: Tokens  # (n,)
    past_length: int  # how much of the cache stays valid
    history_ids: Tokens | None = None  # (n,), ids whose embeddings are added


SequenceGenerator = Generator[StepInput, Logits, Result]


class Decoder(Protocol):
    """A causal transformer with a cache slot for each of several rows."""

    slots: int  # rows at most
    lengths: NDArray[np.int64]  # (slots,), tokens in each slot's cache

    def feed(self, slot: int, feed: StepInput) -> Logits:
        """Run tokens of one row; logits (n,) after the last, valid until the next call."""

    def step(self, input_ids: Tokens) -> NDArray[np.float32]:
        """Run one token of each of the first len(ids) slots; logits (rows, n), likewise."""

    def copy_slot(self, source: int, target: int) -> None:
        """Copy one slot's cache over another's."""

    def swap_slots(self, first: int, second: int) -> None:
        """Exchange the caches of two slots."""
