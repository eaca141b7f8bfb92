"""Runs rows of different lengths through one decoder together.

A row is a generator: it yields what to feed, receives the logits that follow, and returns its
tokens. Loops of single stages are written as if alone; here they share every decode step. Knows
nothing of Bark.
"""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.voices import Tokens
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


@dataclass
class _Active(Generic[Result]):
    """A row in a slot, and what it wants next."""

    index: int
    row: Row[Result]
    pending: Feed


def run_rows(decoder: Decoder, rows: Iterable[Row[Result]]) -> Iterator[tuple[int, Result]]:
    """Run rows to their ends, as many at a time as there are slots.

    A row that ends makes room at once: a waiting row takes its slot, or the last row moves there.

    Yields:
        Index and result of each row, in the order in which they end.
    """
    waiting = deque(enumerate(rows))
    active: list[_Active[Result]] = []  # by slot
    while waiting or active:
        # 1. Fill free slots.
        while waiting and len(active) < decoder.slots:
            index, row = waiting.popleft()
            try:
                active.append(_Active(index, row, next(row)))
            except StopIteration as end:
                yield index, end.value
        # 2. Prompts run one by one, until every row wants a single token.
        slot = 0
        while slot < len(active):
            entry = active[slot]
            try:
                while not _is_step(entry.pending, decoder.lengths[slot]):
                    entry.pending = entry.row.send(decoder.feed(slot, entry.pending))
                slot += 1
            except StopIteration as end:
                _leave(decoder, active, slot)
                yield entry.index, end.value
        # A row that ended at its prompt has left room: fill it before the next step.
        if waiting and len(active) < decoder.slots:
            continue
        # 3. One token of every row.
        if not active:
            continue
        logits = decoder.step(np.array([entry.pending.ids[0] for entry in active]))
        ended = []
        for slot, entry in enumerate(active):
            try:
                entry.pending = entry.row.send(logits[slot])
            except StopIteration as end:
                ended.append((slot, entry.index, end.value))
        for slot, index, result in reversed(ended):
            _leave(decoder, active, slot)
            yield index, result


def _is_step(feed: Feed, length: int) -> bool:
    return len(feed.ids) == 1 and feed.start == length > 0 and feed.history_ids is None


def _leave(decoder: Decoder, active: list[_Active[Result]], slot: int) -> None:
    """Take a row out; the last one fills the gap."""
    last = len(active) - 1
    if slot != last:
        decoder.move(last, slot)
        active[slot] = active[last]
    active.pop()
