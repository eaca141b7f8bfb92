"""Which stage works next. The choice changes who waits for whom, never what is said."""

from collections.abc import Sequence
from typing import Protocol

from bark_onnx.graphs.contract import STAGES, Stage

_LATEST_FIRST = STAGES[::-1]


class SchedulingPolicy(Protocol):
    """Chooses among stages that have work."""

    def admits(self, unfinished: int) -> bool:
        """Whether a request may begin beside so many that have begun and are not done."""

    def choose(self, busy: Sequence[Stage]) -> Stage:
        """The stage that does the next unit of work."""


class RoundRobinPolicy:
    """Every stage that has work gets a turn in each round, the latest first.

    So requests that are nearly finished finish, and nobody waits for more than one unit of each
    other stage.
    """

    def __init__(self) -> None:
        self._last: Stage = _LATEST_FIRST[-1]

    def admits(self, unfinished: int) -> bool:
        """Anybody may begin at any time."""
        return True

    def choose(self, busy: Sequence[Stage]) -> Stage:
        """The next one of the round."""
        position = _LATEST_FIRST.index(self._last) + 1
        order = [*_LATEST_FIRST[position:], *_LATEST_FIRST[:position]]
        self._last = next(stage for stage in order if stage in busy)
        return self._last


class StageSequentialPolicy:
    """One stage finishes everything before the next is opened, for where only one can be open.

    Requests pass through the stages together. Those that come meanwhile begin when all of them
    are done: otherwise a steady stream would keep the first stage open for ever.
    """

    def admits(self, unfinished: int) -> bool:
        """Nobody begins while others are under way."""
        return unfinished == 0

    def choose(self, busy: Sequence[Stage]) -> Stage:
        """The earliest one: nobody is before it any more."""
        return min(busy, key=STAGES.index)
