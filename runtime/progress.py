"""How far a call has come, told to whoever asked."""

from collections.abc import Callable
from typing import TypeVar

from bark_onnx.graphs.contract import Stage
from bark_onnx.runtime.rows import Row

Result = TypeVar("Result")

# Stage, what is done, and what there will be at most: tokens (semantic, coarse), runs of the
# transformer (fine) or frames (codec).
OnProgress = Callable[[Stage, int, int], None]


class Counter:
    """Adds up what the rows of one stage have done.

    Args:
        stage: which stage.
        total: what there will be at most.
        report: receives every change; None receives nothing.
    """

    def __init__(self, stage: Stage, total: int, report: OnProgress | None) -> None:
        self.stage = stage
        self.total = total
        self.done = 0
        self._report = report

    def add(self, count: int = 1) -> None:
        """Count what was done."""
        self.done += count
        if self._report is not None:
            self._report(self.stage, self.done, self.total)

    def counted(self, row: Row[Result]) -> Row[Result]:
        """The same row; every token that it draws is counted."""
        try:
            feed = next(row)
            while True:
                logits = yield feed
                self.add()
                feed = row.send(logits)
        except StopIteration as end:
            result: Result = end.value
            return result
