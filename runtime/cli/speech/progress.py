"""Progress on a terminal; nothing elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from bark_onnx.graphs.contract import Stage

_UNITS: dict[Stage, str] = {
    "semantic": "tokens",
    "coarse": "tokens",
    "fine": "passes",
    "codec": "frames",
}
_FORMAT = (
    "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{rate_noinv_fmt}, {remaining} left]"
)


class ProgressBars:
    """A bar for each stage, of which the one that runs is seen: how far, how fast, how long yet.

    Args:
        characters: of the whole text; what is said of it stands before the stage.
    """

    def __init__(self, characters: int) -> None:
        self._characters = characters
        self._said = 0
        self._started = time.monotonic()
        self._bars: dict[Stage, Any] = {}

    def update(self, stage: Stage, done: int, total: int) -> None:
        """Show how far a stage has come. An `OnProgress`."""
        bar = self._bars.get(stage)
        if bar is None:
            bar = self._bars[stage] = tqdm(
                desc=f"{self._share()}{stage}",
                total=total,
                unit=f" {_UNITS[stage]}",
                bar_format=_FORMAT,
                leave=False,
                disable=None,
                position=0,  # one line for all
                dynamic_ncols=True,
                file=sys.stderr,
            )
        bar.total = total
        bar.update(done - bar.n)

    def add(self, characters: int) -> None:
        """Count what was said of the text."""
        self.close()
        self._said += characters

    def close(self) -> None:
        """Take the bars away."""
        for bar in self._bars.values():
            bar.close()
        self._bars.clear()

    def _share(self) -> str:
        """How much of the text is said, and how long the rest will take at that pace."""
        if not self._said:
            return ""
        share = min(1.0, self._said / self._characters)
        rest = (time.monotonic() - self._started) * (1 - share) / share
        return f"{share:.0%} said, {tqdm.format_interval(rest)} left; "


@contextmanager
def progress_bars(characters: int) -> Iterator[ProgressBars]:
    """Bars that are gone when the block ends."""
    bars = ProgressBars(characters)
    try:
        yield bars
    finally:
        bars.close()
