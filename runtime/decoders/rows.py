"""Runs rows of different lengths through one decoder together.

A row is a generator: it yields what to feed, receives the logits that follow, and returns its
tokens. Loops of single stages are written as if alone; here they share every decode step. Knows
nothing of Bark.
"""

import itertools
from collections.abc import Generator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.voices import Tokens
from bark_onnx.runtime.decoders.batches import Seat, Step
from bark_onnx.runtime.sampling import Logits

Result = TypeVar("Result")


@dataclass(frozen=True)
class Feed:
    """Tokens to run after the first `start` tokens of what a row has fed before."""

    ids: Tokens  # (n,)
    start: int  # how much of the cache stays valid
    history_ids: Tokens | None = None  # (n,), ids whose embeddings are added


Row = Generator[Feed, Logits, Result]


class Decoder(Protocol):
    """A causal transformer with a cache slot for each of several rows."""

    slots: int  # rows at most
    lengths: NDArray[np.int64]  # (slots,), tokens in each slot's cache

    def feed(self, slot: int, feed: Feed) -> Logits:
        """Run tokens of one row; logits (n,) after the last, valid until the next call."""

    def step(self, ids: Tokens) -> NDArray[np.float32]:
        """Run one token of each of the first len(ids) slots; logits (rows, n), likewise."""

    def move(self, source: int, target: int) -> None:
        """Copy one slot's cache over another's."""

    def swap(self, first: int, second: int) -> None:
        """Exchange the caches of two slots."""


@dataclass(eq=False)
class _RowSeat(Seat[Result]):
    """A row in a slot. `wanted` is a `Feed`."""

    asked: int = 0  # when it came to want its prompt, in the order of all
    wants_prompt: bool = False
    is_fresh: bool = True  # no step since its prompt


class RowBatch(Generic[Result]):
    """Rows in the slots of one decoder, as a `Batch`.

    A unit of work is either the prompt of one row or one token of every row that is ready. A prompt
    costs as much as tens of steps, so while rows are running there is at most one prompt between
    two steps, in the order in which prompts came to be wanted: newcomers, and windows that slide,
    hold the others up by one prompt at a time, and wait at most as many steps as there are slots.
    Where nobody has made a step since their prompts, nobody is held up, and all prompts come
    first: rows that begin together share every step.

    Args:
        decoder: its slots are the batch's; nobody else uses it meanwhile.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._seats: list[_RowSeat[Result]] = []  # by slot
        self._asked = itertools.count()
        self._prompted = False  # since the last step

    @property
    def has_room(self) -> bool:
        """See `Batch`."""
        return len(self._seats) < self._decoder.slots

    def join(self, row: Row[Result]) -> Seat[Result]:
        """See `Batch`."""
        assert self.has_room
        seat = _RowSeat(row)
        self._decoder.lengths[len(self._seats)] = 0  # of a former row
        self._seats.append(seat)
        return seat

    def leave(self, seat: Seat[Result]) -> None:
        """See `Batch`. The last row fills the gap."""
        seat.row.close()
        slot, last = self._slot(seat), len(self._seats) - 1
        if slot != last:
            self._decoder.move(last, slot)
            self._seats[slot] = self._seats[last]
        self._seats.pop()

    def step(self) -> Step[Result]:
        """See `Batch`."""
        # 1. Newcomers say what they want. One that ends has left room to fill before a run.
        ended = [
            seat for seat in self._seats if seat.wanted is None and not self._advance(seat, None)
        ]
        # 2. A prompt, or a token of every row that is ready.
        rows = 0
        if not ended:
            prompt = self._next_prompt()
            rows, ended = self._decode() if prompt is None else (0, self._feed(prompt))
        for seat in reversed(ended):  # by slot: none is moved that is about to leave
            self.leave(seat)
        return Step(rows, [*ended])

    def _next_prompt(self) -> _RowSeat[Result] | None:
        wanting = [seat for seat in self._seats if seat.wants_prompt]
        running = any(not seat.wants_prompt and not seat.is_fresh for seat in self._seats)
        if not wanting or (running and self._prompted):
            return None
        return min(wanting, key=lambda seat: seat.asked)

    def _feed(self, seat: _RowSeat[Result]) -> list[_RowSeat[Result]]:
        """Run a prompt; returns the seat if its row has ended."""
        self._prompted = True
        seat.is_fresh = True
        try:
            logits = self._decoder.feed(self._slot(seat), seat.wanted)
        except Exception as error:
            seat.fail(error)
            return [seat]
        return [] if self._advance(seat, logits) else [seat]

    def _decode(self) -> tuple[int, list[_RowSeat[Result]]]:
        """Run a token of every row that is ready: how many there were, and those that ended."""
        self._prompted = False
        ready = self._gather()
        if not ready:
            return 0, []
        try:
            logits = self._decoder.step(np.array([seat.wanted.ids[0] for seat in ready]))
        except Exception as error:
            for seat in ready:
                seat.fail(error)
            return len(ready), ready
        for seat in ready:
            seat.is_fresh = False
        ended = [seat for slot, seat in enumerate(ready) if not self._advance(seat, logits[slot])]
        return len(ready), ended

    def _gather(self) -> list[_RowSeat[Result]]:
        """The rows that are ready, brought to the first slots: steps run over those."""
        count = sum(not seat.wants_prompt for seat in self._seats)
        gaps = [slot for slot in range(count) if self._seats[slot].wants_prompt]
        strays = [
            slot for slot in range(count, len(self._seats)) if not self._seats[slot].wants_prompt
        ]
        for gap, stray in zip(gaps, strays, strict=True):
            self._decoder.lengths[gap] = self._seats[gap].wanted.start  # the rest is not kept
            self._decoder.swap(gap, stray)
            self._seats[gap], self._seats[stray] = self._seats[stray], self._seats[gap]
        return self._seats[:count]

    def _advance(self, seat: _RowSeat[Result], logits: Logits | None) -> bool:
        """Hand logits to a row and note what it wants next. False when it has ended."""
        if not seat.advance(logits):
            return False
        seat.wants_prompt = not _is_step(seat.wanted, self._decoder.lengths[self._slot(seat)])
        if seat.wants_prompt:
            seat.asked = next(self._asked)
        return True

    def _slot(self, seat: Seat[Result]) -> int:
        return next(slot for slot, other in enumerate(self._seats) if other is seat)


def _is_step(feed: Feed, length: int) -> bool:
    return len(feed.ids) == 1 and feed.start == length > 0 and feed.history_ids is None
