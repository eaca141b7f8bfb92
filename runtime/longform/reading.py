"""Reads pieces one after the other: voices, seeds, takes, and where each begins in the whole.

Knows how to ask for speech, not how it is made.
"""

import dataclasses
import math
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, get_args

from bark_onnx.graphs.contract import Stage
from bark_onnx.graphs.errors import BarkError, OptionsError, QueueFullError
from bark_onnx.graphs.voices.voice import Voice
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.inference.progress import OnProgress
from bark_onnx.runtime.longform.attempts import Attempt, Line, Pending
from bark_onnx.runtime.longform.crossfade import Crossfader
from bark_onnx.runtime.longform.quality import Cleaning, clean, limit_babble
from bark_onnx.runtime.options.generation import GenerationOptions, is_positive_int
from bark_onnx.runtime.seeds import segment_seed
from bark_onnx.runtime.text.dialogue import Turn
from bark_onnx.runtime.text.segments import Segment

History = Literal["voice", "previous"]
HISTORIES: tuple[History, ...] = get_args(History)
SILENCE_SECONDS = 0.25  # Suno's own, between sentences


@dataclass(frozen=True)
class Reading:
    """How pieces follow each other.

    Raises:
        OptionsError: a value is out of range, or two exclude each other.
    """

    continuity: History = "voice"  # or "previous": each goes on from the end of the last
    silence_seconds: float | None = None  # between pieces; None: 0.25, or 0 with a cross-fade
    crossfade_seconds: float = 0.0  # how long two pieces overlap
    together: int = 1  # pieces that are said at the same time; more is faster in all

    def __post_init__(self) -> None:
        if self.continuity not in HISTORIES:
            raise OptionsError(
                f"continuity is {self.continuity!r}, expected one of {', '.join(HISTORIES)}"
            )
        for name in ("silence_seconds", "crossfade_seconds"):
            _check_seconds(name, getattr(self, name))
        if self.silence_seconds and self.crossfade_seconds:
            raise OptionsError(
                f"silence_seconds is {self.silence_seconds} and crossfade_seconds "
                f"{self.crossfade_seconds}; expected only one of them: pieces that overlap have "
                "no silence between them"
            )
        check_together(self.together)
        if self.together > 1 and self.continuity == "previous":
            raise OptionsError(
                f"together is {self.together}, but with continuity 'previous' each piece waits "
                "for the one before; expected 1"
            )

    @property
    def gap_seconds(self) -> float:
        """The silence between two pieces."""
        if self.silence_seconds is not None:
            return self.silence_seconds
        return 0.0 if self.crossfade_seconds else SILENCE_SECONDS


# As `Bark.submit`.
Submit = Callable[..., Pending]


def check_together(together: int) -> None:
    """Check that so many can be said at the same time.

    Raises:
        OptionsError: it is no integer, or less than 1.
    """
    if not is_positive_int(together):
        raise OptionsError(f"together is {together!r}, expected an integer from 1")


def plan_lines(
    turns: Iterable[Turn], voices: Mapping[str, Voice | None], split: Callable[[str], list[Segment]]
) -> list[Line]:
    """Lines for the pieces of all turns, in their order."""
    lines: list[Line] = []
    for turn in turns:
        for piece in split(turn.text):
            lines.append(Line(len(lines), piece, voices[turn.speaker], turn.speaker))
    return lines


class Reader:
    """Says lines, and hands each speech out as soon as it and those before it are done.

    Args:
        submit: has a text said in the background.
        options: generation settings, `semantic_max_new_tokens` among them.
        reading: how lines follow each other.
        cleaning: what to do for clean takes.
        seed: of the whole.
        semantic_rate_hz: semantic tokens per second of audio.
        on_progress: hears of the line that is handed out next.
    """

    def __init__(
        self,
        submit: Submit,
        options: GenerationOptions,
        reading: Reading,
        cleaning: Cleaning,
        *,
        seed: int,
        semantic_rate_hz: float,
        on_progress: OnProgress | None = None,
    ) -> None:
        self._submit = submit
        self._options = options
        self._reading = reading
        self._cleaning = cleaning
        self._seed = seed
        self._semantic_rate_hz = semantic_rate_hz
        self._on_progress = on_progress
        self._next_index = 0  # of the line that is handed out next

    def read(self, lines: Sequence[Line]) -> Generator[Speech]:
        """Speeches of all lines, in their order, each placed in the whole.

        `together` of them are said at a time, from the first one that was not handed out. Memory
        holds one more. Closing the generator cancels what is being said.
        """
        reading = self._reading
        previous: dict[str, Voice] = {}  # by speaker
        seam = Crossfader(reading.gap_seconds, reading.crossfade_seconds)
        window: deque[Attempt] = deque()
        coming = deque(lines)
        try:
            while window or coming:
                # 1. Have as many said as may be, and wait for the next one.
                self._fill(window, coming, previous)
                self._next_index = window[0].line.index
                line, speech = window[0].line, self._best_take(window)
                window.popleft()
                if reading.continuity == "previous" and len(speech.semantic_tokens):
                    previous[line.speaker] = speech.to_voice(speech.voice_name)
                # 2. Others go on being said while whoever asked uses this one.
                self._fill(window, coming, previous)
                cleaned = clean(speech, self._cleaning)
                yield seam.join(cleaned, line.speaker, is_last=line.index == len(lines) - 1)
        finally:
            for attempt in window:
                attempt.cancel()

    def _fill(
        self, window: deque[Attempt], coming: deque[Line], previous: Mapping[str, Voice]
    ) -> None:
        """Begin lines until `together` are being said, or the engine takes no more."""
        while coming and len(window) < self._reading.together:
            line = coming[0]
            line = dataclasses.replace(line, voice=previous.get(line.speaker, line.voice))
            try:
                attempt = Attempt(line, self._begin, takes=self._cleaning.takes)
            except QueueFullError:
                if not window:
                    raise
                return
            window.append(attempt)
            coming.popleft()

    def _begin(self, line: Line, take: int) -> Pending:
        options = self._options
        if self._cleaning.stop_babble:
            options = limit_babble(options, line.piece, self._semantic_rate_hz)
        return self._submit(
            line.piece.text,
            voice=line.voice,
            seed=segment_seed(self._seed, line.index, take),
            options=options,
            on_progress=self._progress_of(line),
        )

    def _progress_of(self, line: Line) -> OnProgress | None:
        report = self._on_progress
        if report is None:
            return None

        def progress(stage: Stage, done: int, total: int) -> None:
            if line.index == self._next_index:
                report(stage, done, total)

        return progress

    def _best_take(self, window: deque[Attempt]) -> Speech:
        """The first take of the first line without faults, or else the one with the fewest."""
        first = window[0]
        while not first.is_settled:
            first.judge()
            # Where others have ended, too, begin their next takes now rather than one by one.
            # What goes wrong with one of them is raised when it is the first.
            for attempt in window:
                if attempt.has_ended:
                    with suppress(BarkError):
                        attempt.judge()
        if first.faults:
            warnings.warn(
                f"piece {first.line.index + 1}: none of {self._cleaning.takes} takes passes, the "
                f"best is {' and '.join(first.faults)}; try another seed or voice",
                stacklevel=2,
            )
        assert first.speech is not None
        return first.speech


def _check_seconds(name: str, value: float | None) -> None:
    if value is None:
        return
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not 0 <= value <= 60:
        raise OptionsError(f"{name} is {value!r}, expected seconds from 0 to 60")
