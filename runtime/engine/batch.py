"""Batches of one stage: sequences are added, run one step at a time, and removed.

A sequence is a generator: it yields the input of its next run, receives the output, and returns
its result. `SerialBatch` holds one sequence; `ContinuousBatch` shares steps among several.
"""

from collections.abc import Callable, Generator
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


class SerialBatch(Generic[Result]):
    """A batch of one sequence, whose runs call a function with their input."""

    def __init__(self, run: Callable[[Any], Any]) -> None:
        self._run = run
        self._entry: BatchEntry[Result] | None = None

    @property
    def has_free_slot(self) -> bool:
        """See `Batch`."""
        return self._entry is None

    def add(self, generator: Generator[Any, Any, Result]) -> BatchEntry[Result]:
        """See `Batch`."""
        assert self.has_free_slot
        self._entry = BatchEntry(generator)
        return self._entry

    def remove(self, entry: BatchEntry[Result]) -> None:
        """See `Batch`."""
        assert entry is self._entry
        entry.generator.close()
        self._entry = None

    def step(self) -> StepOutput[Result]:
        """See `Batch`."""
        entry = self._entry
        if entry is None:
            return StepOutput(0, [])
        if entry.pending_input is None and not entry.advance(None):
            self._entry = None
            return StepOutput(0, [entry])
        try:
            output = self._run(entry.pending_input)
        except Exception as error:
            entry.fail(error)
        if entry.error is None and entry.advance(output):
            return StepOutput(1, [])
        self._entry = None
        return StepOutput(1, [entry])
