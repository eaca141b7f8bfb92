"""How far a call has come, told to whoever asked."""

from collections.abc import Callable, Generator
from typing import Any, TypeVar

from bark_onnx.graphs.contract import STAGES, Stage

Result = TypeVar("Result")

# Stage, what is done, and what there will be at most: tokens (semantic, coarse), runs of the
# transformer (fine) or frames (codec).
OnProgress = Callable[[Stage, int, int], None]


class Progress:
    """Adds up what the requests of one call have done.

    Args:
        report: receives every change; None receives nothing.
    """

    def __init__(self, report: OnProgress | None) -> None:
        self._report = report
        self._done = dict.fromkeys(STAGES, 0)
        self._totals = dict.fromkeys(STAGES, 0)

    def expect(self, stage: Stage, count: int) -> None:
        """There will be so much more to do in a stage."""
        self._totals[stage] += count

    def add(self, stage: Stage, count: int = 1) -> None:
        """Count what was done."""
        self._done[stage] += count
        if self._report is not None:
            self._report(stage, self._done[stage], self._totals[stage])

    def counted(
        self, stage: Stage, row: Generator[Any, Any, Result], count: int = 1
    ) -> Generator[Any, Any, Result]:
        """The same row; each of its runs counts for so much."""
        try:
            wanted = next(row)
            while True:
                output = yield wanted
                self.add(stage, count)
                wanted = row.send(output)
        except StopIteration as end:
            result: Result = end.value
            return result
