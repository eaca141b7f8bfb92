"""A cluster: requests arrive, segments wait and are generated, replicas come and go."""

import random
from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from typing import Any

import simpy

from simulation.autoscaler import Autoscaler, Scaling
from simulation.load import Arrival
from simulation.replica import Replica
from simulation.service import Service


@dataclass
class Outcome:
    """What became of the requests, and what it took."""

    first_audio_seconds: list[float] = field(default_factory=list)  # of each request
    wait_seconds: list[float] = field(default_factory=list)  # of each segment
    audio_seconds: float = 0.0
    replica_seconds: float = 0.0  # from the start of a replica to its end
    most_replicas: int = 0
    lag_seconds: list[float] = field(default_factory=list)  # of the autoscaler, see `Cluster`
    samples: list[tuple[float, int, int]] = field(default_factory=list)  # time, ongoing, replicas


class Cluster:
    """Replicas behind one queue.

    A segment goes to the less loaded of two replicas with room, drawn at random, as Ray Serve does;
    if no replica has room, it waits. The autoscaler's lag is the time from its first wish for more
    replicas than there are, until so many run.

    Args:
        env: Environment of simpy.
        service: Rates of a replica.
        replicas: Replicas at the start.
        scaling: Settings of the autoscaler; None keeps the number of replicas.
        seed: Seed of the choices.
    """

    def __init__(
        self,
        env: simpy.Environment,
        service: Service,
        replicas: int,
        scaling: Scaling | None = None,
        *,
        seed: int = 0,
    ) -> None:
        self.outcome = Outcome()
        self._env, self._service, self._scaling = env, service, scaling
        self._rates = service.all_rates()
        self._choice = random.Random(seed)
        self._replicas = [Replica(env, self._rates) for _ in range(replicas)]
        self._leaving: list[Replica] = []
        self._starting = 0
        self._queue: deque[tuple[float, float, Callable[[], None]]] = deque()
        self._sampled = env.now
        self._lagging_since: float | None = None
        if scaling is not None:
            env.process(self._scale(Autoscaler(scaling), scaling.interval_s))

    @property
    def ongoing(self) -> int:
        """Segments that wait or are generated."""
        return len(self._queue) + sum(replica.load for replica in self._replicas)

    def run(self, arrivals: Iterable[Arrival], seconds: float) -> Outcome:
        """Simulate; requests that are under way at the end are not counted."""
        self._env.process(self._receive(arrivals))
        self._env.run(until=seconds)
        self._count_replicas()
        return self.outcome

    def _receive(self, arrivals: Iterable[Arrival]) -> Generator[Any, Any, None]:
        for arrival in arrivals:
            yield self._env.timeout(arrival.time - self._env.now)
            for index, seconds in enumerate(arrival.segments):
                self._submit(seconds, arrival.time if index == 0 else None)

    def _submit(self, audio_seconds: float, request_time: float | None) -> None:
        def on_done() -> None:
            self.outcome.audio_seconds += audio_seconds
            if request_time is not None:
                self.outcome.first_audio_seconds.append(self._env.now - request_time)
            self._fill()

        self._queue.append((self._env.now, audio_seconds, on_done))
        self._fill()

    def _fill(self) -> None:
        """Give waiting segments to replicas with room."""
        while self._queue and (replica := self._find_room()) is not None:
            arrived, seconds, on_done = self._queue.popleft()
            self.outcome.wait_seconds.append(self._env.now - arrived)
            replica.add(seconds, on_done)
        if self._leaving and any(not replica.load for replica in self._leaving):
            self._count_replicas()
            self._leaving = [replica for replica in self._leaving if replica.load]
            self._replicas = [each for each in self._replicas if each.load or not each.is_leaving]

    def _find_room(self) -> Replica | None:
        for _ in range(4):  # usually the first two have room
            pair = self._choice.choices(self._replicas, k=2)
            fitting = [replica for replica in pair if replica.has_room]
            if fitting:
                return min(fitting, key=lambda replica: replica.load)
        return next((replica for replica in self._replicas if replica.has_room), None)

    def _scale(self, autoscaler: Autoscaler, interval: float) -> Generator[Any, Any, None]:
        while True:
            yield self._env.timeout(interval)
            staying = [replica for replica in self._replicas if not replica.is_leaving]
            planned = len(staying) + self._starting
            wanted = autoscaler.decide(self.ongoing, planned)
            self._note_lag(autoscaler.wanted(), len(staying))
            for _ in range(wanted - planned):
                self._starting += 1
                self._env.process(self._start())
            leaving = sorted(staying, key=lambda replica: replica.load)[: max(0, planned - wanted)]
            for replica in leaving:
                replica.is_leaving = True
            self._leaving += leaving
            self._fill()
            self.outcome.samples.append((self._env.now, self.ongoing, len(staying)))

    def _start(self) -> Generator[Any, Any, None]:
        started = self._env.now
        yield self._env.timeout(self._service.start_seconds)
        self.outcome.replica_seconds += self._env.now - started
        self._count_replicas()
        self._starting -= 1
        self._replicas.append(Replica(self._env, self._rates))
        self._fill()

    def _note_lag(self, wanted: int, running: int) -> None:
        if wanted > running and self._lagging_since is None:
            self._lagging_since = self._env.now
        elif wanted <= running and self._lagging_since is not None:
            self.outcome.lag_seconds.append(self._env.now - self._lagging_since)
            self._lagging_since = None

    def _count_replicas(self) -> None:
        """Count the time of the replicas since the last change of their number."""
        passed = self._env.now - self._sampled
        self.outcome.replica_seconds += passed * len(self._replicas)
        self.outcome.most_replicas = max(self.outcome.most_replicas, len(self._replicas))
        self._sampled = self._env.now
