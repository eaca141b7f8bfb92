"""How fast a replica generates, by the number of segments that it generates at the same time."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Service:
    """Measured or assumed rates of a replica.

    All segments of a replica share its rate in equal parts, as decode steps do.
    """

    name: str
    rates: Mapping[int, float]  # seconds of audio a second, by segments at the same time
    start_seconds: float  # from the decision to add a replica to its first segment
    source: str  # where the numbers come from

    @property
    def max_batch_size(self) -> int:
        """Most segments at the same time."""
        return max(self.rates)

    def rate(self, segments: int) -> float:
        """Seconds of audio a second, interpolated between the batch sizes that are known."""
        sizes = sorted(self.rates)
        return float(np.interp(segments, sizes, [self.rates[size] for size in sizes]))

    def all_rates(self) -> list[float]:
        """Rate for 0, 1, ... `max_batch_size` segments."""
        return [0.0, *(self.rate(count) for count in range(1, self.max_batch_size + 1))]


def read_service(path: Path, start_seconds: float) -> Service:
    """Rates from the result of `benchmarks/serve.py`: one client, two, ... of the largest batch."""
    result = json.loads(path.read_text("utf-8").splitlines()[-1])
    largest = max(_batch_size(point) for point in result["points"])
    rates = {
        point["clients"]: point["audio_per_second"]
        for point in result["points"]
        if _batch_size(point) == largest and point["clients"] <= largest
    }
    machine = result["machine"]
    cores = result["threads"] or machine["cores"]
    name = f"{result['size']} {result['precision']}, {cores} cores"
    return Service(name, rates, start_seconds, f"{path.name}: {machine['processor']}")


def _batch_size(point: Mapping[str, int]) -> int:
    return point["max_batch_size"] if "max_batch_size" in point else point["max_rows"]
