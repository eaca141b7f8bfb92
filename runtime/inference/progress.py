"""Progress counters of one call, reported through a callback."""

from collections.abc import Callable, Generator
from typing import Any, TypeVar

from bark_onnx.graphs.contract import STAGES, Stage

Result = TypeVar("Result")

# Called with the stage, the units done and their expected maximum. A unit is a token (semantic,
# coarse), a run of the transformer (fine) or a frame (codec).
OnProgress = Callable[[Stage, int, int], None]


class Progress:
    """Sums the progress of all requests of one call.

    Args:
        report: Callback for every change; None disables reports.
    """

    def __init__(self, report: OnProgress | None) -> None:
        self._report = report
        self._done = dict.fromkeys(STAGES, 0)
        self._totals = dict.fromkeys(STAGES, 0)

    def add_total(self, stage: Stage, count: int) -> None:
        """Increase the expected units of a stage."""
        self._totals[stage] += count

    def add(self, stage: Stage, count: int = 1) -> None:
        """Count units as done."""
        self._done[stage] += count
        if self._report is not None:
            self._report(stage, self._done[stage], self._totals[stage])

    def track(
        self, stage: Stage, sequence: Generator[Any, Any, Result], count: int = 1
    ) -> Generator[Any, Any, Result]:
        """Wrap a sequence so that each of its runs counts as `count` units."""
        try:
            pending_input = next(sequence)
            while True:
                output = yield pending_input
                self.add(stage, count)
                pending_input = sequence.send(output)
        except StopIteration as end:
            result: Result = end.value
            return result
