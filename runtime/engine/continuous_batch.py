"""Runs rows of different lengths through one decoder together.

A row is a generator: it yields what to feed, receives the logits that follow, and returns its
tokens. Loops of single stages are written as if alone; here they share every decode step. Knows
nothing of Bark.
"""

import itertools
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from bark_onnx.runtime.engine.batch import BatchEntry, StepOutput
from bark_onnx.runtime.inference.decoders.decoder import Decoder, SequenceGenerator, StepInput
from bark_onnx.runtime.inference.sampling import Logits

Result = TypeVar("Result")


@dataclass(eq=False)
class _SequenceEntry(BatchEntry[Result]):
    """A row in a slot. `wanted` is a `StepInput`."""

    asked: int = 0  # when it came to want its prompt, in the order of all
    wants_prompt: bool = False
    is_fresh: bool = True  # no step since its prompt


class ContinuousBatch(Generic[Result]):
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
        self._entries: list[_SequenceEntry[Result]] = []  # by slot
        self._asked = itertools.count()
        self._prompted = False  # since the last step

    @property
    def has_free_slot(self) -> bool:
        """See `Batch`."""
        return len(self._entries) < self._decoder.slots

    def add(self, generator: SequenceGenerator[Result]) -> BatchEntry[Result]:
        """See `Batch`."""
        assert self.has_free_slot
        entry = _SequenceEntry(generator)
        self._decoder.lengths[len(self._entries)] = 0  # of a former row
        self._entries.append(entry)
        return entry

    def remove(self, entry: BatchEntry[Result]) -> None:
        """See `Batch`. The last row fills the gap."""
        entry.generator.close()
        slot, last = self._slot(entry), len(self._entries) - 1
        if slot != last:
            self._decoder.copy_slot(last, slot)
            self._entries[slot] = self._entries[last]
        self._entries.pop()

    def step(self) -> StepOutput[Result]:
        """See `Batch`."""
        # 1. Newcomers say what they want. One that ends has left room to fill before a run.
        finished = [
            entry
            for entry in self._entries
            if entry.wanted is None and not self._advance(entry, None)
        ]
        # 2. A prompt, or a token of every row that is ready.
        sequences = 0
        if not finished:
            prompt = self._next_prompt()
            sequences, finished = self._decode() if prompt is None else (0, self._feed(prompt))
        for entry in reversed(finished):  # by slot: none is moved that is about to leave
            self.remove(entry)
        return StepOutput(sequences, [*finished])

    def _next_prompt(self) -> _SequenceEntry[Result] | None:
        wanting = [entry for entry in self._entries if entry.wants_prompt]
        running = any(not entry.wants_prompt and not entry.is_fresh for entry in self._entries)
        if not wanting or (running and self._prompted):
            return None
        return min(wanting, key=lambda entry: entry.asked)

    def _feed(self, entry: _SequenceEntry[Result]) -> list[_SequenceEntry[Result]]:
        """Run a prompt; returns the seat if its row has ended."""
        self._prompted = True
        entry.is_fresh = True
        try:
            logits = self._decoder.feed(self._slot(entry), entry.wanted)
        except Exception as error:
            entry.fail(error)
            return [entry]
        return [] if self._advance(entry, logits) else [entry]

    def _decode(self) -> tuple[int, list[_SequenceEntry[Result]]]:
        """Run a token of every row that is ready: how many there were, and those that ended."""
        self._prompted = False
        ready = self._gather()
        if not ready:
            return 0, []
        try:
            logits = self._decoder.step(np.array([entry.wanted.input_ids[0] for entry in ready]))
        except Exception as error:
            for entry in ready:
                entry.fail(error)
            return len(ready), ready
        for entry in ready:
            entry.is_fresh = False
        finished = [
            entry for slot, entry in enumerate(ready) if not self._advance(entry, logits[slot])
        ]
        return len(ready), finished

    def _gather(self) -> list[_SequenceEntry[Result]]:
        """The rows that are ready, brought to the first slots: steps run over those."""
        count = sum(not entry.wants_prompt for entry in self._entries)
        gaps = [slot for slot in range(count) if self._entries[slot].wants_prompt]
        strays = [
            slot
            for slot in range(count, len(self._entries))
            if not self._entries[slot].wants_prompt
        ]
        for gap, stray in zip(gaps, strays, strict=True):
            self._decoder.lengths[gap] = self._entries[
                gap
            ].wanted.past_length  # the rest is not kept
            self._decoder.swap_slots(gap, stray)
            self._entries[gap], self._entries[stray] = self._entries[stray], self._entries[gap]
        return self._entries[:count]

    def _advance(self, entry: _SequenceEntry[Result], logits: Logits | None) -> bool:
        """Hand logits to a row and note what it wants next. False when it has ended."""
        if not entry.advance(logits):
            return False
        entry.wants_prompt = not _is_step(entry.wanted, self._decoder.lengths[self._slot(entry)])
        if entry.wants_prompt:
            entry.asked = next(self._asked)
        return True

    def _slot(self, entry: BatchEntry[Result]) -> int:
        return next(slot for slot, other in enumerate(self._entries) if other is entry)


def _is_step(feed: StepInput, length: int) -> bool:
    return len(feed.input_ids) == 1 and feed.past_length == length > 0 and feed.history_ids is None
