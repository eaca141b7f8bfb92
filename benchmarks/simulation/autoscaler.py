"""The autoscaler of Ray Serve: replicas for the segments under way.

Source: `AutoscalingConfig` and the default policy of Ray Serve: the mean number of requests under
way, waiting ones included, over the look-back period and divided by the target; a change happens
after the decision has been the same for a while.
"""

import math
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class Scaling:
    """Settings of the autoscaler, with the names and defaults of Ray Serve where it has them."""

    min_replicas: int
    max_replicas: int
    target_ongoing_requests: float
    upscale_delay_s: float = 30.0
    downscale_delay_s: float = 600.0
    look_back_period_s: float = 30.0
    downscaling_factor: float = 1.0  # a change goes so much of the way down
    interval_s: float = 10.0  # between two looks


class Autoscaler:
    """Decides how many replicas there should be."""

    def __init__(self, scaling: Scaling) -> None:
        self._scaling = scaling
        looks = max(1, round(scaling.look_back_period_s / scaling.interval_s))
        self._ongoing: deque[int] = deque(maxlen=looks)
        self._above = self._below = 0.0  # seconds that the decision has been so

    def decide(self, ongoing: int, replicas: int) -> int:
        """Replicas from now on; called once in each interval.

        Args:
            ongoing: Segments that wait or are generated.
            replicas: Replicas that run or start.
        """
        scaling = self._scaling
        self._ongoing.append(ongoing)
        wanted = self._damped(self.wanted(), replicas)
        self._above = self._above + scaling.interval_s if wanted > replicas else 0.0
        self._below = self._below + scaling.interval_s if wanted < replicas else 0.0
        if self._above > scaling.upscale_delay_s or self._below > scaling.downscale_delay_s:
            self._above = self._below = 0.0
            return wanted
        return replicas

    def wanted(self) -> int:
        """Replicas for the mean load of the look-back period."""
        scaling = self._scaling
        mean = sum(self._ongoing) / len(self._ongoing)
        wanted = math.ceil(mean / scaling.target_ongoing_requests)
        return min(max(wanted, scaling.min_replicas), scaling.max_replicas)

    def _damped(self, wanted: int, replicas: int) -> int:
        if wanted >= replicas:
            return wanted
        damped = replicas + self._scaling.downscaling_factor * (wanted - replicas)
        return min(math.ceil(damped), replicas - 1)
