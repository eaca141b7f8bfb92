"""Progress on a terminal; nothing elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from bark_onnx.graphs.contract import Stage


class ProgressBars:
    """One bar at a time, for the stage that is running.

    Args:
        characters: of the whole text; what is said of it stands before the stage.
    """

    def __init__(self, characters: int) -> None:
        self._characters = characters
        self._said = 0
        self._stage: Stage | None = None
        self._bar: Any = None

    def update(self, stage: Stage, done: int, total: int) -> None:
        """Show how far a stage has come. An `OnProgress`."""
        if stage != self._stage:
            self.close()
            share = f"{self._said / self._characters:.0%} said, " if self._said else ""
            self._bar = tqdm(
                desc=f"{share}{stage}", total=total, leave=False, disable=None, file=sys.stderr
            )
            self._stage = stage
        self._bar.update(done - self._bar.n)

    def add(self, characters: int) -> None:
        """Count what was said of the text."""
        self.close()
        self._said += characters

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
        self._bar = self._stage = None


@contextmanager
def progress_bars(characters: int) -> Iterator[ProgressBars]:
    """Bars that are gone when the block ends."""
    bars = ProgressBars(characters)
    try:
        yield bars
    finally:
        bars.close()
