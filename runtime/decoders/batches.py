"""What shares a stage: rows that join, are run one unit of work at a time, and leave.

A row is a generator: it yields what to run, receives what came out, and returns its result.
`OneByOne` is for stages whose rows share nothing; `rows.RowBatch` for those that share steps.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

Result = TypeVar("Result")


@dataclass(eq=False)
class Seat(Generic[Result]):
    """A row that has joined a batch, what it wants next, and how it ended."""

    row: Generator[Any, Any, Result]
    wanted: Any = None  # None before the row has begun
    result: Result | None = None
    error: BaseException | None = None
    run_failed: bool = False  # the error is the batch's, not the row's own

    def advance(self, output: Any) -> bool:
        """Hand over what came out; None begins the row. False when the row has ended."""
        try:
            self.wanted = self.row.send(output)
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
        self.row.close()


@dataclass(frozen=True)
class Step(Generic[Result]):
    """One unit of work."""

    rows: int  # how many shared it; 0 for a prompt, and where nothing had to be run
    ended: list[Seat[Result]]  # they have left


class Batch(Protocol):
    """Rows that are in a stage."""

    @property
    def has_room(self) -> bool:
        """Whether one more can join."""

    def join(self, row: Generator[Any, Any, Any]) -> Seat[Any]:
        """Take in a row; it begins with the next step."""

    def leave(self, seat: Seat[Any]) -> None:
        """Take out a row that has not ended."""

    def step(self) -> Step[Any]:
        """Do one unit of work. Never raises what a row or a run raises: seats hold it."""


class OneByOne(Generic[Result]):
    """A batch of one row.

    Args:
        run: computes what a row wants.
    """

    def __init__(self, run: Callable[[Any], Any]) -> None:
        self._run = run
        self._seat: Seat[Result] | None = None

    @property
    def has_room(self) -> bool:
        """See `Batch`."""
        return self._seat is None

    def join(self, row: Generator[Any, Any, Result]) -> Seat[Result]:
        """See `Batch`."""
        assert self.has_room
        self._seat = Seat(row)
        return self._seat

    def leave(self, seat: Seat[Result]) -> None:
        """See `Batch`."""
        assert seat is self._seat
        seat.row.close()
        self._seat = None

    def step(self) -> Step[Result]:
        """See `Batch`."""
        seat = self._seat
        if seat is None:
            return Step(0, [])
        if seat.wanted is None and not seat.advance(None):
            self._seat = None
            return Step(0, [seat])
        try:
            output = self._run(seat.wanted)
        except Exception as error:
            seat.fail(error)
        if seat.error is None and seat.advance(output):
            return Step(1, [])
        self._seat = None
        return Step(1, [seat])
