"""Requests of a day: when they arrive, and how long their segments are."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

DAY_SECONDS = 86_400.0
_LONGEST_SEGMENT_SECONDS, _SHORTEST_SEGMENT_SECONDS = 13.0, 3.0

Rate = Callable[[float], float]  # requests a second, by the second


@dataclass(frozen=True)
class Arrival:
    """A request: a text of one or more segments."""

    time: float
    segments: tuple[float, ...]  # seconds of audio of each


@dataclass(frozen=True)
class Texts:
    """Lengths of texts."""

    mean_segments: float = 2.0  # geometric: most texts are short
    shortest_seconds: float = _SHORTEST_SEGMENT_SECONDS
    longest_seconds: float = _LONGEST_SEGMENT_SECONDS  # uniform between the two

    @property
    def mean_seconds(self) -> float:
        """Seconds of audio of a request."""
        return self.mean_segments * (self.shortest_seconds + self.longest_seconds) / 2

    def draw(self, rng: np.random.Generator) -> tuple[float, ...]:
        """Lengths of the segments of one text."""
        count = int(rng.geometric(1 / self.mean_segments))
        return tuple(rng.uniform(self.shortest_seconds, self.longest_seconds, count).tolist())


def day_curve(peak: float, *, night_share: float = 0.2, peak_hour: float = 20.0) -> Rate:
    """A day's load: a wave with its peak in the evening.

    Args:
        peak: Requests a second at the peak.
        night_share: Least load, relative to the peak.
        peak_hour: Hour of the peak.
    """

    def rate(time: float) -> float:
        phase = 2 * math.pi * (time / DAY_SECONDS - peak_hour / 24)
        return peak * (night_share + (1 - night_share) * (1 + math.cos(phase)) / 2)

    return rate


def arrivals(
    rate: Rate, most: float, seconds: float, texts: Texts, rng: np.random.Generator
) -> Iterator[Arrival]:
    """Requests at random times: a Poisson process whose rate changes.

    Args:
        rate: Requests a second.
        most: Largest value of `rate`.
        seconds: Length of the simulation.
        texts: Lengths of texts.
        rng: Random generator.
    """
    time = 0.0
    while (time := time + rng.exponential(1 / most)) < seconds:
        if rng.random() * most < rate(time):
            yield Arrival(time, texts.draw(rng))
