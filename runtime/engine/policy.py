"""Scheduling policies: which stage runs next and when requests begin, without effect on results."""

from collections.abc import Sequence
from typing import Protocol

from bark_onnx.graphs.contract import STAGES, Stage

_LATEST_FIRST = STAGES[::-1]


class SchedulingPolicy(Protocol):
    """Chooses among stages that have work."""

    def can_admit(self, unfinished: int) -> bool:
        """Whether a request may begin while `unfinished` others have begun and are not done."""

    def next_stage(self, busy: Sequence[Stage]) -> Stage:
        """Stage that runs the next step, one of `busy`."""


class RoundRobinPolicy(SchedulingPolicy):
    """Every stage that has work runs one step per round, the latest stage first.

    Requests near their end finish early, and none waits for more than one step of each other stage.
    """

    def __init__(self) -> None:
        self._last: Stage = _LATEST_FIRST[-1]

    def can_admit(self, unfinished: int) -> bool:
        """Always: requests may begin at any time."""
        return True

    def next_stage(self, busy: Sequence[Stage]) -> Stage:
        """Next busy stage of the round."""
        position = _LATEST_FIRST.index(self._last) + 1
        order = [*_LATEST_FIRST[position:], *_LATEST_FIRST[:position]]
        self._last = next(stage for stage in order if stage in busy)
        return self._last


class StageSequentialPolicy(SchedulingPolicy):
    """One stage finishes all its work before the next one is opened, as low memory requires.

    Requests pass through the stages together. Those that arrive meanwhile begin when all of them
    are done: otherwise a steady stream of requests would keep the first stage open forever.
    """

    def can_admit(self, unfinished: int) -> bool:
        """Only while no other request has begun."""
        return unfinished == 0

    def next_stage(self, busy: Sequence[Stage]) -> Stage:
        """Earliest busy stage: no request can still come to it."""
        return min(busy, key=STAGES.index)
