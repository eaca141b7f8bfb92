"""Progress bars on a terminal; nothing elsewhere."""

import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from bark_onnx.graphs.contract import Stage
from bark_onnx.graphs.errors import OptionsError, first_line

_UNITS = {"semantic": "tokens", "coarse": "tokens", "fine": "passes", "codec": "frames"}
_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{rate_noinv_fmt}"
_END = "]"
_STAGE_END = ", {remaining} left]"  # where the time left for the whole text is unknown


def import_tqdm() -> Any:
    """The class tqdm.

    Raises:
        OptionsError: A variable of the environment, which it reads at import, is malformed.
    """
    try:
        from tqdm import tqdm
    except ValueError as error:
        names = ", ".join(sorted(name for name in os.environ if name.startswith("TQDM_")))
        raise OptionsError(
            f"{names}: a value is malformed ({first_line(error)}); unset the variable"
        ) from error
    return tqdm


class TimeLeft:
    """Estimates when a text is done, by the share of its characters that is.

    Segments that run in parallel end together: after the first of them, most of the work for the
    others is done as well, but not known. Only whole rounds of them show how long a segment takes.

    Args:
        characters: Length of all segments.
        concurrency: Segments generated in parallel.
        clock: Function that returns seconds of a monotonic clock.

    Attributes:
        share: Share of the text that is done.
    """

    def __init__(
        self, characters: int, concurrency: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.share = 0.0
        self._characters = characters
        self._concurrency = concurrency
        self._clock = clock
        self._started = clock()
        self._done = self._segments = 0
        self._end: float | None = None

    def add(self, characters: int) -> None:
        """Count a segment as done."""
        self._done += characters
        self._segments += 1
        self.share = self._done / max(self._characters, 1)
        if self._done and self._segments % self._concurrency == 0:
            self._end = self._started + (self._clock() - self._started) / self.share

    def seconds(self) -> float | None:
        """Estimated time to the end of the text; None before the first round is complete."""
        return None if self._end is None else max(self._end - self._clock(), 0.0)


class ProgressBars:
    """A bar for the stage that runs, after the share of the text that is done.

    Args:
        segments: Texts of all segments.
        concurrency: Segments generated in parallel.
    """

    def __init__(self, segments: Iterable[str], concurrency: int) -> None:
        self._time_left = TimeLeft(sum(map(len, segments)), concurrency)
        self._bars: dict[Stage, Any] = {}
        self._tqdm = import_tqdm()

    def update(self, stage: Stage, done: int, total: int) -> None:
        """Show the progress of a stage. An `OnProgress`."""
        bar = self._bars.get(stage)
        if bar is None:
            seconds = self._time_left.seconds()
            bar = self._bars[stage] = self._tqdm(
                desc=f"{self._share(seconds)}{stage}",
                total=total,
                unit=f" {_UNITS[stage]}",
                bar_format=_FORMAT + (_STAGE_END if seconds is None else _END),
                leave=False,
                disable=None,
                position=0,  # one line for all
                dynamic_ncols=True,
                file=sys.stderr,
            )
        bar.total = total
        bar.update(done - bar.n)

    def add(self, characters: int) -> None:
        """Count characters of the text as done."""
        self.close()
        self._time_left.add(characters)

    def close(self) -> None:
        """Remove the bars."""
        for bar in self._bars.values():
            bar.close()
        self._bars.clear()

    def _share(self, seconds: float | None) -> str:
        """Share of the text that is done, and the estimated time for the rest."""
        share = self._time_left.share
        if not share:
            return ""
        left = "" if seconds is None else f", {self._tqdm.format_interval(seconds)} left"
        return f"{share:.0%} done{left}; "
