"""A line of a text that is being said, again and again until a take is good enough."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bark_onnx.graphs.voices.voice import Voice
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.longform.quality import find_faults
from bark_onnx.runtime.text.segments import Segment


@dataclass(frozen=True)
class Line:
    """A piece and who says it."""

    index: int
    piece: Segment
    voice: Voice | None
    speaker: str


class Pending(Protocol):
    """A text that is being said, as `Bark.submit` returns it."""

    @property
    def done(self) -> bool:
        """Whether it has ended."""

    def result(self) -> Speech:
        """Wait for the speech."""

    def cancel(self) -> None:
        """Ask for its end. Nothing happens to one that has ended."""


class Attempt:
    """A line that is being said. Making one begins its first take.

    Args:
        line: what is said.
        begin: has a take of a line said, by its number from 0.
        takes: how many to try at most; a single one is not judged.

    Attributes:
        speech: the best take so far; None before the first has been judged.
        faults: what is wrong with it.
    """

    def __init__(self, line: Line, begin: Callable[[Line, int], Pending], *, takes: int) -> None:
        self.line = line
        self.speech: Speech | None = None
        self.faults: list[str] = []
        self._begin = begin
        self._takes = takes
        self._take = 0
        self._pending: Pending | None = begin(line, 0)

    @property
    def is_settled(self) -> bool:
        """Whether no further take is needed or allowed."""
        return self._pending is None

    @property
    def has_ended(self) -> bool:
        """Whether a take has ended that was not judged yet."""
        return self._pending is not None and self._pending.done

    def judge(self) -> None:
        """Wait for the take that is being said, and begin another one if it is needed.

        Raises:
            BarkError: the take cannot be said, or the next one cannot be begun.
        """
        assert self._pending is not None
        speech = self._pending.result()
        faults = find_faults(speech, self.line.piece) if self._takes > 1 else []
        if self.speech is None or len(faults) < len(self.faults):
            self.speech, self.faults = speech, faults
        if self.faults and self._take + 1 < self._takes:
            self._pending = self._begin(self.line, self._take + 1)
            self._take += 1
        else:
            self._pending = None

    def cancel(self) -> None:
        """End the take that is being said."""
        if self._pending is not None:
            self._pending.cancel()
