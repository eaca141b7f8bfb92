"""Reads pieces one after the other: voices, seeds, takes, and where each begins in the whole.

Knows how to ask for speech, not how it is made.
"""

import dataclasses
import math
import secrets
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.errors import OptionsError
from bark_onnx.graphs.voices import Voice
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.options import GenerationOptions, is_count
from bark_onnx.runtime.takes import Cleaning, clean, find_faults, limit_babble
from bark_onnx.runtime.text.dialogue import Turn
from bark_onnx.runtime.text.pieces import Piece

Continuity = Literal["voice", "previous"]
CONTINUITIES: tuple[Continuity, ...] = get_args(Continuity)
SILENCE_SECONDS = 0.25  # Suno's own, between sentences

_SEED_BITS = 32


@dataclass(frozen=True)
class Reading:
    """How pieces follow each other.

    Raises:
        OptionsError: a value is out of range, or two exclude each other.
    """

    continuity: Continuity = "voice"  # or "previous": each goes on from the end of the last
    silence_seconds: float | None = None  # between pieces; None: 0.25, or 0 with a cross-fade
    crossfade_seconds: float = 0.0  # how long two pieces overlap
    together: int = 1  # pieces that are said at the same time; more is faster in all

    def __post_init__(self) -> None:
        if self.continuity not in CONTINUITIES:
            raise OptionsError(
                f"continuity is {self.continuity!r}, expected one of {', '.join(CONTINUITIES)}"
            )
        for name in ("silence_seconds", "crossfade_seconds"):
            _check_seconds(name, getattr(self, name))
        if self.silence_seconds and self.crossfade_seconds:
            raise OptionsError(
                f"silence_seconds is {self.silence_seconds} and crossfade_seconds "
                f"{self.crossfade_seconds}; expected only one of them: pieces that overlap have "
                "no silence between them"
            )
        if not is_count(self.together):
            raise OptionsError(f"together is {self.together!r}, expected an integer from 1")
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


@dataclass(frozen=True)
class Line:
    """A piece and who says it."""

    index: int
    piece: Piece
    voice: Voice | None
    speaker: str


# As `Bark.speak_batch`.
Say = Callable[..., list[Speech]]


def plan_lines(
    turns: Iterable[Turn], voices: Mapping[str, Voice | None], split: Callable[[str], list[Piece]]
) -> list[Line]:
    """Lines for the pieces of all turns, in their order."""
    lines: list[Line] = []
    for turn in turns:
        for piece in split(turn.text):
            lines.append(Line(len(lines), piece, voices[turn.speaker], turn.speaker))
    return lines


def draw_seed() -> int:
    """A seed for somebody who names none."""
    return secrets.randbits(_SEED_BITS)


def check_seed(seed: int) -> None:
    """Check that a number can be a seed.

    Raises:
        OptionsError: it is no integer, or negative.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise OptionsError(f"seed is {seed!r}, expected an integer from 0")


def piece_seed(seed: int, index: int, take: int = 0) -> int:
    """The seed of a take of a piece: independent streams, whatever runs beside them.

    The first take of the first piece has the seed itself, so that a text of one piece sounds as if
    said by `speak`.
    """
    if index == take == 0:
        return int(seed)
    sequence = np.random.SeedSequence(int(seed), spawn_key=(index, take))
    return int(sequence.generate_state(1, np.uint64)[0])


class Reader:
    """Says lines, and hands each speech out as soon as it is done.

    Args:
        say: says several texts together.
        options: generation settings, `semantic_max_new_tokens` among them.
        reading: how lines follow each other.
        cleaning: what to do for clean takes.
        seed: of the whole.
        semantic_rate_hz: semantic tokens per second of audio.
    """

    def __init__(
        self,
        say: Say,
        options: GenerationOptions,
        reading: Reading,
        cleaning: Cleaning,
        *,
        seed: int,
        semantic_rate_hz: float,
    ) -> None:
        check_seed(seed)
        self._say = say
        self._options = options
        self._reading = reading
        self._cleaning = cleaning
        self._seed = seed
        self._semantic_rate_hz = semantic_rate_hz

    def read(self, lines: Sequence[Line]) -> Iterator[Speech]:
        """Speeches of all lines, in their order, each placed in the whole.

        Memory holds no more than `together` of them.
        """
        reading = self._reading
        previous: dict[str, Voice] = {}  # by speaker
        seam = _Seam(reading.gap_seconds, reading.crossfade_seconds)
        for start in range(0, len(lines), reading.together):
            group = lines[start : start + reading.together]
            if reading.continuity == "previous":
                group = [
                    dataclasses.replace(line, voice=previous.get(line.speaker, line.voice))
                    for line in group
                ]
            for line, speech in zip(group, self._best_takes(group), strict=True):
                if reading.continuity == "previous" and len(speech.semantic_tokens):
                    previous[line.speaker] = speech.to_voice(speech.voice_name)
                cleaned = clean(speech, self._cleaning)
                yield seam.join(cleaned, line.speaker, is_last=line.index == len(lines) - 1)

    def _best_takes(self, group: Sequence[Line]) -> list[Speech]:
        """For each line the first take without faults, or else the one with the fewest."""
        takes = self._cleaning.takes
        best: dict[int, tuple[list[str], Speech]] = {}
        waiting = list(group)
        for take in range(takes):
            for line, speech in zip(waiting, self._take(waiting, take), strict=True):
                faults = find_faults(speech, line.piece) if takes > 1 else []
                if line.index not in best or len(faults) < len(best[line.index][0]):
                    best[line.index] = faults, speech
            waiting = [line for line in waiting if best[line.index][0]]
            if not waiting:
                break
        for line in waiting:
            warnings.warn(
                f"piece {line.index + 1}: none of {takes} takes passes, the best is "
                f"{' and '.join(best[line.index][0])}; try another seed or voice",
                stacklevel=2,
            )
        return [best[line.index][1] for line in group]

    def _take(self, lines: Sequence[Line], take: int) -> list[Speech]:
        """One take of each line; those that are said with the same settings run together."""
        groups: defaultdict[GenerationOptions, list[Line]] = defaultdict(list)
        for line in lines:
            options = self._options
            if self._cleaning.stop_babble:
                options = limit_babble(options, line.piece, self._semantic_rate_hz)
            groups[options].append(line)
        said: dict[int, Speech] = {}
        for options, some in groups.items():
            speeches = self._say(
                [line.piece.text for line in some],
                voices=[line.voice for line in some],
                seed=[piece_seed(self._seed, line.index, take) for line in some],
                options=options,
            )
            said.update(zip((line.index for line in some), speeches, strict=True))
        return [said[line.index] for line in lines]


class _Seam:
    """Where one speech ends and the next begins.

    Args:
        gap_seconds: silence between two.
        crossfade_seconds: how long two overlap; at most half of either.
    """

    def __init__(self, gap_seconds: float, crossfade_seconds: float) -> None:
        self._gap_seconds = gap_seconds
        self._crossfade_seconds = crossfade_seconds
        self._position = 0  # samples handed out, silence included
        self._tail = np.zeros(0, np.float32)  # of the last speech, not handed out yet

    def join(self, speech: Speech, speaker: str, *, is_last: bool) -> Speech:
        """The speech with its place in the whole, blended into what is left of the last one."""
        rate = speech.sample_rate_hz
        samples = speech.samples
        held = min(round(self._crossfade_seconds * rate), len(samples) // 2)
        samples = _blend(self._tail, samples)
        if is_last or not held:
            self._tail = samples[:0]
        else:
            samples, self._tail = samples[:-held], samples[-held:]
        start = self._position
        self._position += len(samples) + round(self._gap_seconds * rate)
        return dataclasses.replace(
            speech, samples=samples, start_seconds=start / rate, speaker=speaker
        )


def _blend(ending: NDArray[np.float32], beginning: NDArray[np.float32]) -> NDArray[np.float32]:
    """One after the other, overlapping as far as the shorter one goes: as one fades, one grows."""
    count = min(len(ending), len(beginning))
    if not count:
        return beginning if not len(ending) else ending
    growing = (np.arange(count, dtype=np.float32) + np.float32(0.5)) / np.float32(count)
    split = len(ending) - count
    middle = ending[split:] * (1 - growing) + beginning[:count] * growing
    return np.concatenate([ending[:split], middle, beginning[count:]])


def _check_seconds(name: str, value: float | None) -> None:
    if value is None:
        return
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not 0 <= value <= 60:
        raise OptionsError(f"{name} is {value!r}, expected seconds from 0 to 60")
