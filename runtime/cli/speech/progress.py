"""Progress bars on a terminal; nothing elsewhere."""

import os
import sys
import time
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


class ProgressBars:
    """A bar for the stage that runs, after the share of the text's characters that is done."""

    def __init__(self, characters: int) -> None:
        self._characters = characters
        self._done = 0
        self._started = time.monotonic()
        self._bars: dict[Stage, Any] = {}
        self._tqdm = import_tqdm()

    def update(self, stage: Stage, done: int, total: int) -> None:
        """Show the progress of a stage. An `OnProgress`."""
        bar = self._bars.get(stage)
        if bar is None:
            bar = self._bars[stage] = self._tqdm(
                desc=f"{self._share()}{stage}",
                total=total,
                unit=f" {_UNITS[stage]}",
                bar_format=_FORMAT + (_END if self._done else _STAGE_END),
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
        self._done += characters

    def close(self) -> None:
        """Remove the bars."""
        for bar in self._bars.values():
            bar.close()
        self._bars.clear()

    def _share(self) -> str:
        """Share of the text that is done, and the estimated time for the rest."""
        if not self._done:
            return ""
        share = min(1.0, self._done / self._characters)
        seconds = (time.monotonic() - self._started) * (1 - share) / share
        return f"{share:.0%} done, {self._tqdm.format_interval(seconds)} left; "
