"""Options of long text: how it is split, how segments follow each other, which are accepted."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_args

from bark_onnx.graphs.errors import OptionsError
from bark_onnx.runtime.options.generation import is_finite_number, is_positive_int
from bark_onnx.runtime.seeds import OLD_SEED_BITS, SEED_BITS
from bark_onnx.runtime.text.segments import check_max_seconds
from bark_onnx.runtime.text.sentences import check_language

History = Literal["voice", "previous", "first"]
HISTORIES: tuple[History, ...] = get_args(History)
SILENCE_SECONDS = 0.25  # Suno's own, between sentences

Setting = bool | int | float | str

_MAX_PAUSE_SECONDS = 60


@dataclass(frozen=True)
class StreamOptions:
    """How a long text is split, joined and checked. Each field is a keyword of `Bark.stream`.

    Raises:
        OptionsError: A value is out of range, or two values exclude each other.
    """

    language: str | None = None  # code of the text's language, such as "de"; None: detected
    max_seconds: float | None = None  # length of a segment, estimated; None: the checkpoint's, 13
    # What a segment continues: "voice", the voice of its speaker; "previous", the speaker's last
    # segment, so that the tone carries on and may drift; "first", the speaker's first segment
    # where no voice is given, so that one speaker is kept for the whole text.
    history: History = "voice"
    silence_seconds: float | None = None  # between segments; None: 0.25, or 0 with a cross-fade
    crossfade_seconds: float = 0.0  # overlap of two segments
    concurrency: int = 1  # segments generated at the same time
    attempts: int = 1  # tries per segment until one is not silent, clipped or too long
    trim: bool = False  # cut silence off both ends of each segment
    limit_duration: bool = False  # end a segment when its end is likely, or it is far too long
    normalize_peak: float | None = None  # level of the loudest sample, at most 1; None: unchanged
    seed_bits: int = SEED_BITS  # length of the segments' seeds; 64: those of earlier versions

    def __post_init__(self) -> None:
        if self.language is not None:
            check_language(self.language)
        if self.max_seconds is not None:
            check_max_seconds(self.max_seconds)
        if self.history not in HISTORIES:
            expected = ", ".join(HISTORIES)
            raise OptionsError(f"history is {self.history!r}, expected one of {expected}")
        self._check_pauses()
        for name in ("concurrency", "attempts"):
            check_positive(name, getattr(self, name))
        if self.concurrency > 1 and self.history == "previous":
            raise OptionsError(
                f"concurrency is {self.concurrency}, but with history 'previous' each segment "
                "waits for the one before; expected 1"
            )
        if self.seed_bits not in (SEED_BITS, OLD_SEED_BITS):
            raise OptionsError(
                f"seed_bits is {self.seed_bits!r}, expected {SEED_BITS} or {OLD_SEED_BITS}"
            )
        for name in ("trim", "limit_duration"):
            if not isinstance(getattr(self, name), bool):
                raise OptionsError(f"{name} is {getattr(self, name)!r}, expected True or False")
        peak = self.normalize_peak
        if peak is not None and not (is_finite_number(peak) and 0 < peak <= 1):
            raise OptionsError(f"normalize_peak is {peak!r}, expected more than 0 and at most 1")

    @property
    def gap_seconds(self) -> float:
        """Silence between two segments."""
        if self.silence_seconds is not None:
            return self.silence_seconds
        return 0.0 if self.crossfade_seconds else SILENCE_SECONDS

    def replace(self, **overrides: Any) -> "StreamOptions":
        """A copy with some values changed.

        Raises:
            OptionsError: A name is unknown or a value out of range.
        """
        if unknown := sorted(set(overrides) - STREAM_OPTION_NAMES):
            expected = ", ".join(sorted(STREAM_OPTION_NAMES))
            raise OptionsError(f"setting {unknown[0]!r} is unknown; expected one of {expected}")
        return dataclasses.replace(self, **overrides)

    def non_default(self) -> dict[str, Setting]:
        """Values that change the sound and differ from their defaults, by name."""
        values = dataclasses.asdict(self)
        del values["concurrency"]  # does not change the sound
        return {name: value for name, value in values.items() if value != _DEFAULTS[name]}

    def _check_pauses(self) -> None:
        for name in ("silence_seconds", "crossfade_seconds"):
            value = getattr(self, name)
            is_unset = value is None and name == "silence_seconds"
            if not is_unset and not (is_finite_number(value) and 0 <= value <= _MAX_PAUSE_SECONDS):
                raise OptionsError(
                    f"{name} is {value!r}, expected seconds from 0 to {_MAX_PAUSE_SECONDS}"
                )
        if self.silence_seconds and self.crossfade_seconds:
            raise OptionsError(
                f"silence_seconds is {self.silence_seconds} and crossfade_seconds "
                f"{self.crossfade_seconds}; expected only one of them: segments that overlap have "
                "no silence between them"
            )


_DEFAULTS = {field.name: field.default for field in dataclasses.fields(StreamOptions)}
STREAM_OPTION_NAMES = frozenset(_DEFAULTS)


def check_positive(name: str, value: object) -> None:
    """Check that an option is an integer from 1."""
    if not is_positive_int(value):
        raise OptionsError(f"{name} is {value!r}, expected an integer from 1")
