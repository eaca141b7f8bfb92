"""A replica: segments that share its rate until each is done."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import simpy

_ORDER = count()  # segments that end together leave in the order of their arrival


@dataclass(order=True)
class _Running:
    ends_at: float  # when every segment has received so much audio
    order: int
    on_done: Callable[[], None] = field(compare=False)


class Replica:
    """Generates up to as many segments at a time as it has rates.

    Audio is counted per segment: all of them receive the same amount in the same time.

    Args:
        env: Environment of simpy.
        rates: Seconds of audio a second, for 0, 1, 2 ... segments.
    """

    def __init__(self, env: simpy.Environment, rates: list[float]) -> None:
        self.is_leaving = False  # takes no more segments, and ends when it is empty
        self.busy_seconds = 0.0
        self._env, self._rates = env, rates
        self._running: list[_Running] = []
        self._received = 0.0  # audio that a segment has received that was there from the start
        self._updated = env.now
        self._version = 0

    @property
    def load(self) -> int:
        """Segments under way."""
        return len(self._running)

    @property
    def has_room(self) -> bool:
        """Whether it takes another segment."""
        return not self.is_leaving and len(self._running) < len(self._rates) - 1

    def add(self, audio_seconds: float, on_done: Callable[[], None]) -> None:
        """Begin a segment."""
        self._update()
        heapq.heappush(
            self._running, _Running(self._received + audio_seconds, next(_ORDER), on_done)
        )
        self._wait()

    def _update(self) -> None:
        passed = self._env.now - self._updated
        if self._running:
            self._received += passed * self._rates[len(self._running)] / len(self._running)
            self.busy_seconds += passed
        self._updated = self._env.now

    def _wait(self) -> None:
        """Wake at the end of the segment that is done first; earlier alarms are void."""
        self._version += 1
        if not self._running:
            return
        missing = max(0.0, self._running[0].ends_at - self._received)
        delay = missing * len(self._running) / self._rates[len(self._running)]
        alarm = self._env.timeout(delay, self._version)
        alarm.callbacks.append(self._on_alarm)

    def _on_alarm(self, alarm: Any) -> None:
        if alarm.value != self._version:
            return
        self._update()
        done = heapq.heappop(self._running)
        self._wait()
        done.on_done()
