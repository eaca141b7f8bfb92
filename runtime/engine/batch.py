"""Batches of one stage: sequences are added, run one step at a time, and removed.

A sequence is a generator: it yields the input of its next run, receives the output, and returns
its result. `ContinuousBatch` shares decode steps among several, `GroupedBatch` other
runs.
"""

from collections.abc import Callable, Generator, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

Result = TypeVar("Result")


@dataclass(eq=False)
class BatchEntry(Generic[Result]):
    """A sequence in a batch: the input of its next run, then its result or error."""

    generator: Generator[Any, Any, Result]
    pending_input: Any = None  # None before the sequence has begun
    result: Result | None = None
    error: BaseException | None = None
    is_run_error: bool = False  # the error was raised by a run, not by the sequence

    def advance(self, output: Any) -> bool:
        """Send an output (None begins the sequence). False when the sequence has ended."""
        try:
            self.pending_input = self.generator.send(output)
        except StopIteration as end:
            self.result = end.value
            return False
        # Sequences call user callbacks; whatever those raise ends this sequence alone.
        except BaseException as error:
            self.error = error
            return False
        return True

    def fail(self, error: Exception) -> None:
        """End the sequence with the error of its run."""
        self.error = error
        self.is_run_error = True
        self.generator.close()


@dataclass(frozen=True)
class StepOutput(Generic[Result]):
    """Outcome of one step of a batch."""

    num_sequences: int  # sequences that shared the step; 0 for a prefill or if nothing was run
    finished: list[BatchEntry[Result]]  # entries that ended and were removed


class Batch(Protocol):
    """Sequences in a stage."""

    @property
    def has_free_slot(self) -> bool:
        """Whether another sequence can be added."""

    def add(self, generator: Generator[Any, Any, Any]) -> BatchEntry[Any]:
        """Add a sequence; it begins with the next step."""

    def remove(self, entry: BatchEntry[Any]) -> None:
        """Remove a sequence that has not ended."""

    def step(self) -> StepOutput[Any]:
        """Run one step. Errors of sequences and runs are kept in their entries, never raised."""


class GroupedBatch(Generic[Result]):
    """A batch whose sequences share a run where their inputs are of one kind.

    Args:
        run: Maps inputs of one kind to their outputs.
        kind: Maps an input to its kind.
        slots: Most sequences.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Any]], Iterable[Any]],
        kind: Callable[[Any], Hashable],
        slots: int,
    ) -> None:
        self._run, self._kind, self._slots = run, kind, slots
        self._entries: list[BatchEntry[Result]] = []  # oldest first

    @property
    def has_free_slot(self) -> bool:
        """See `Batch`."""
        return len(self._entries) < self._slots

    def add(self, generator: Generator[Any, Any, Result]) -> BatchEntry[Result]:
        """See `Batch`."""
        assert self.has_free_slot
        self._entries.append(BatchEntry(generator))
        return self._entries[-1]

    def remove(self, entry: BatchEntry[Result]) -> None:
        """See `Batch`."""
        entry.generator.close()
        self._entries.remove(entry)

    def step(self) -> StepOutput[Result]:
        """See `Batch`. Runs the oldest sequence, and all whose next runs are of its kind."""
        begun = [entry for entry in self._entries if entry.pending_input is None]
        finished = [entry for entry in begun if not entry.advance(None)]
        self._drop(finished)
        if finished or not self._entries:
            return StepOutput(0, finished)
        kind = self._kind(self._entries[0].pending_input)
        group = [entry for entry in self._entries if self._kind(entry.pending_input) == kind]
        try:
            outputs = self._run([entry.pending_input for entry in group])
        except Exception as error:
            for entry in group:
                entry.fail(error)
            finished = group
        else:
            pairs = zip(group, outputs, strict=True)
            finished = [entry for entry, output in pairs if not entry.advance(output)]
        self._drop(finished)
        return StepOutput(len(group), finished)

    def _drop(self, finished: Sequence[BatchEntry[Result]]) -> None:
        self._entries = [entry for entry in self._entries if entry not in finished]
