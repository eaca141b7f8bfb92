"""Continuous batching: sequences of different lengths share the decode steps of one decoder.

The generation loops of single stages are written for one sequence each; this module batches them
without knowing anything of Bark.
"""

import itertools
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from bark_onnx.runtime.engine.batch import BatchEntry, StepOutput
from bark_onnx.runtime.inference.decoders.decoder import (
    Decoder,
    ScoringDecoder,
    SequenceGenerator,
    StepInput,
    WholeScores,
)
from bark_onnx.runtime.inference.draws import answer_steps

Result = TypeVar("Result")

_MAX_PREFILL_TOKENS = 16_384  # of several sequences: bounds the memory of a run


@dataclass(eq=False)
class _SequenceEntry(BatchEntry[Result]):
    """A sequence in a slot. `pending_input` is a `StepInput`."""

    slot: int = 0
    needs_prefill: bool = False
    arrival_order: int = 0  # of its pending prefill, among all prefills
    steps: int = 0  # decode steps since its last prefill
    window_steps: int = 0  # those between its last two prefills; 0: it had one
    prompt_length: int = 0  # tokens of its last prefill, if that began at 0
    held_steps: int = 0  # decode steps for which its pending prefill was held


class ContinuousBatch(Generic[Result]):
    """Sequences in the slots of one decoder, as a `Batch`.

    A step is either a prefill or one token of every sequence that is ready. A prefill is that of
    one sequence; on a GPU, others that begin at 0 and are as long join it: new sequences, and
    windows that slide. Those of full length are planned so that they meet: once, one that slides
    waits for another that will soon, and both slide together from then on.

    A prefill costs as much as tens of decode steps, so while sequences decode there is at most one
    between two decode steps, in order of arrival: it delays the others by one prefill at a time,
    and waits for at most as many decode steps as there are slots. If no sequence has decoded since
    its prefill, none is delayed and all prefills run first: sequences that begin together share
    every decode step.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder  # this batch owns its slots
        self._shares_prefills = isinstance(decoder, ScoringDecoder)
        self._scores = decoder if isinstance(decoder, ScoringDecoder) else WholeScores(decoder)
        self._entries: list[_SequenceEntry[Result]] = []  # by slot
        self._arrivals = itertools.count()
        self._prefilled_since_decode = False

    @property
    def has_free_slot(self) -> bool:
        """See `Batch`."""
        return len(self._entries) < self._decoder.slots

    def add(self, generator: SequenceGenerator[Result]) -> BatchEntry[Result]:
        """See `Batch`."""
        assert self.has_free_slot
        entry = _SequenceEntry(generator, slot=len(self._entries))
        self._decoder.lengths[entry.slot] = 0  # of a former sequence
        self._entries.append(entry)
        return entry

    def remove(self, entry: BatchEntry[Result]) -> None:
        """See `Batch`. The last sequence fills the gap."""
        assert isinstance(entry, _SequenceEntry)
        entry.generator.close()
        last = self._entries.pop()
        if last is not entry:
            self._decoder.copy_slot(last.slot, entry.slot)
            last.slot = entry.slot
            self._entries[last.slot] = last

    def step(self) -> StepOutput[Result]:
        """See `Batch`."""
        # 1. Begin new sequences. If one ends at once, its slot can be filled before a run.
        finished = [
            entry
            for entry in self._entries
            if entry.pending_input is None and not self._advance(entry, None)
        ]
        # 2. Run a prefill, or a token of every sequence that is ready.
        num_sequences = 0
        if not finished:
            if prefill := self._next_prefill():
                finished = self._prefill(prefill)
            else:
                num_sequences, finished = self._decode()
        for entry in reversed(finished):  # by slot: none is moved that is removed next
            self.remove(entry)
        return StepOutput(num_sequences, [*finished])

    def _next_prefill(self) -> list[_SequenceEntry[Result]]:
        """Sequences of the next prefill: the one that waits longest, and those that can join it."""
        pending = [entry for entry in self._entries if entry.needs_prefill]
        pending.sort(key=lambda entry: entry.arrival_order)
        decoding = any(entry.steps and not entry.needs_prefill for entry in self._entries)
        first = next((entry for entry in pending if not self._is_held(entry)), None)
        if first is None or (decoding and self._prefilled_since_decode):
            return []
        step: StepInput = first.pending_input
        joining = [
            entry
            for entry in pending
            if entry is not first and _is_alike(step, entry.pending_input)
        ]
        most = max(0, _MAX_PREFILL_TOKENS // len(step.input_ids) - 1)
        slots = [entry.slot for entry in (first, *joining[:most])]
        return [self._entries[slot] for slot in self._scores.shared_prefill(slots)]

    def _is_held(self, entry: _SequenceEntry[Result]) -> bool:
        """Whether a window that slides waits for another one, to share its run and all later ones.

        It waits for at most the steps of a window, and for another that slides in half of them.
        """
        step: StepInput = entry.pending_input
        length = len(step.input_ids)
        slides_at_full_length = step.past_length == 0 and entry.prompt_length == length
        if not self._shares_prefills or not slides_at_full_length:
            return False
        if entry.held_steps >= entry.window_steps:
            return False
        return any(
            other.prompt_length == length
            and 0 < other.window_steps - other.steps <= entry.window_steps // 2
            for other in self._entries
            if not other.needs_prefill
        )

    def _prefill(self, entries: list[_SequenceEntry[Result]]) -> list[_SequenceEntry[Result]]:
        """Run a prefill; return the entries that have ended, by slot."""
        self._prefilled_since_decode = True
        steps: list[StepInput] = [entry.pending_input for entry in entries]
        for entry, step in zip(entries, steps, strict=True):
            entry.window_steps, entry.steps, entry.held_steps = entry.steps, 0, 0
            entry.prompt_length = 0 if step.past_length else len(step.input_ids)
        try:
            scores = self._scores.prefill_scores([entry.slot for entry in entries], steps)
            answers = answer_steps(scores, [step.draw for step in steps])
        except Exception as error:
            for entry in entries:
                entry.fail(error)
            ended = entries
        else:
            pairs = zip(entries, answers, strict=True)
            ended = [entry for entry, answer in pairs if not self._advance(entry, answer)]
        return sorted(ended, key=lambda entry: entry.slot)

    def _decode(self) -> tuple[int, list[_SequenceEntry[Result]]]:
        """Run a token of every sequence that is ready; return their number and those that ended."""
        self._prefilled_since_decode = False
        ready = self._compact_slots()
        if not ready:
            return 0, []
        try:
            tokens = np.array([entry.pending_input.input_ids[0] for entry in ready])
            scores = self._scores.decode_scores(tokens)
            answers = answer_steps(scores, [entry.pending_input.draw for entry in ready])
        except Exception as error:
            for entry in ready:
                entry.fail(error)
            return len(ready), ready
        for entry in self._entries:
            if entry.needs_prefill:
                entry.held_steps += 1
            else:
                entry.steps += 1
        finished = [
            entry
            for entry, answer in zip(ready, answers, strict=True)
            if not self._advance(entry, answer)
        ]
        return len(ready), finished

    def _compact_slots(self) -> list[_SequenceEntry[Result]]:
        """Move sequences that are ready to the first slots, which decode steps run; return them."""
        entries, lengths = self._entries, self._decoder.lengths
        count = sum(not entry.needs_prefill for entry in entries)
        gaps = [slot for slot in range(count) if entries[slot].needs_prefill]
        strays = [slot for slot in range(count, len(entries)) if not entries[slot].needs_prefill]
        for gap, stray in zip(gaps, strays, strict=True):
            lengths[gap] = entries[gap].pending_input.past_length  # the rest need not be copied
            self._decoder.swap_slots(gap, stray)
            entries[gap], entries[stray] = entries[stray], entries[gap]
            entries[gap].slot, entries[stray].slot = gap, stray
        return entries[:count]

    def _advance(self, entry: _SequenceEntry[Result], answer: Any) -> bool:
        """Send the answer of a run and classify the next input. False when it has ended."""
        if not entry.advance(answer):
            return False
        step: StepInput = entry.pending_input
        is_next = step.past_length == self._decoder.lengths[entry.slot] > 0
        entry.needs_prefill = not is_next or len(step.input_ids) > 1 or step.history_ids is not None
        if entry.needs_prefill:
            entry.arrival_order = next(self._arrivals)
        return True


def _is_alike(first: StepInput, second: StepInput) -> bool:
    """Whether two prefills could be rows of one run."""
    return first.past_length == second.past_length == 0 and len(first.input_ids) == len(
        second.input_ids
    )
