"""What shares a stage: rows that join, are run one unit of work at a time, and leave.

A row is a generator: it yields what to run, receives what came out, and returns its result.
`SerialBatch` is for stages that run one request at a time; `ContinuousBatch` for shared steps.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

Result = TypeVar("Result")


@dataclass(eq=False)
class BatchEntry(Generic[Result]):
    """A row that has joined a batch, what it wants next, and how it ended."""

    generator: Generator[Any, Any, Result]
    wanted: Any = None  # None before the row has begun
    result: Result | None = None
    error: BaseException | None = None
    run_failed: bool = False  # the error is the batch's, not the row's own

    def advance(self, output: Any) -> bool:
        """Hand over what came out; None begins the row. False when the row has ended."""
        try:
            self.wanted = self.generator.send(output)
        except StopIteration as end:
            self.result = end.value
            return False
        # Rows call what users hand in, and whatever comes out of that concerns the row alone.
        except BaseException as error:
            self.error = error
            return False
        return True

    def fail(self, error: Exception) -> None:
        """What the row wanted could not be run."""
        self.error = error
        self.run_failed = True
        self.generator.close()


@dataclass(frozen=True)
class StepOutput(Generic[Result]):
    """One unit of work."""

    sequences: int  # how many shared it; 0 for a prompt, and where nothing had to be run
    finished: list[BatchEntry[Result]]  # they have left


class Batch(Protocol):
    """Rows that are in a stage."""

    @property
    def has_free_slot(self) -> bool:
        """Whether one more can join."""

    def add(self, generator: Generator[Any, Any, Any]) -> BatchEntry[Any]:
        """Take in a row; it begins with the next step."""

    def remove(self, entry: BatchEntry[Any]) -> None:
        """Take out a row that has not ended."""

    def step(self) -> StepOutput[Any]:
        """Do one unit of work. Never raises what a row or a run raises: seats hold it."""


class SerialBatch(Generic[Result]):
    """A batch of one row.

    Args:
        run: computes what a row wants.
    """

    def __init__(self, run: Callable[[Any], Any]) -> None:
        self._run = run
        self._seat: BatchEntry[Result] | None = None

    @property
    def has_free_slot(self) -> bool:
        """See `Batch`."""
        return self._seat is None

    def add(self, generator: Generator[Any, Any, Result]) -> BatchEntry[Result]:
        """See `Batch`."""
        assert self.has_free_slot
        self._seat = BatchEntry(generator)
        return self._seat

    def remove(self, entry: BatchEntry[Result]) -> None:
        """See `Batch`."""
        assert entry is self._seat
        entry.generator.close()
        self._seat = None

    def step(self) -> StepOutput[Result]:
        """See `Batch`."""
        entry = self._seat
        if entry is None:
            return StepOutput(0, [])
        if entry.wanted is None and not entry.advance(None):
            self._seat = None
            return StepOutput(0, [entry])
        try:
            output = self._run(entry.wanted)
        except Exception as error:
            entry.fail(error)
        if entry.error is None and entry.advance(output):
            return StepOutput(1, [])
        self._seat = None
        return StepOutput(1, [entry])
