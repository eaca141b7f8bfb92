"""Summaries of generated speech: a readable line, or a JSON object."""

from dataclasses import dataclass
from typing import Any

import click

from bark_onnx.graphs.command_line import print_error
from bark_onnx.graphs.errors import printable
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.audio.timestamps import Timestamp
from bark_onnx.runtime.cli.options.output import STANDARD_OUTPUT
from bark_onnx.runtime.text.terminal import printable_json


@dataclass(frozen=True)
class SegmentSummary:
    """A segment, without its samples."""

    timestamp: Timestamp
    seed: int

    @classmethod
    def of(cls, speech: Speech) -> "SegmentSummary":
        """The summary of a speech."""
        return cls(Timestamp.of(speech), speech.seed)

    def fields(self) -> dict[str, Any]:
        """The fields of its JSON object."""
        return {**self.timestamp.fields(), "seed": self.seed}


@dataclass(frozen=True)
class SpeechSummary:
    """What was generated, and how long that took."""

    output: str | None  # path of the sound; None: it was only played
    sample_rate_hz: int
    seed: int  # of the whole text
    voice: str | None  # as given
    loading_seconds: float
    precision: str
    provider: str
    has_replaced: bool = False  # another file
    seconds: float = 0.0  # of audio
    speaking_seconds: float = 0.0  # of generation
    segments: tuple[SegmentSummary, ...] = ()
    line: int | None = None  # number of the line, from 1; None: the whole text

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of generation per second of audio; None without audio."""
        return self.speaking_seconds / self.seconds if self.seconds else None

    def text(self) -> str:
        """One readable line."""
        segments = f", {len(self.segments)} segments" if len(self.segments) > 1 else ""
        replaced = "; the former file was replaced" if self.has_replaced else ""
        if self.line is not None:  # without times, which lines in parallel share
            audio = f"{self.output}: {self.seconds:.2f} s of audio"
            return printable(f"{audio}, seed {self.seed}{segments}{replaced}")
        names = {None: "played", STANDARD_OUTPUT: "standard output"}
        factor = self.real_time_factor
        shown = "undefined" if factor is None else f"{factor:.2f}"
        return printable(
            f"{names.get(self.output, self.output)}: {self.seconds:.2f} s of audio in "
            f"{self.speaking_seconds:.2f} s, real-time factor {shown}, seed {self.seed}{segments} "
            f"(loading took {self.loading_seconds:.2f} s){replaced}"
        )

    def json(self) -> str:
        """One JSON object on a line. Times are in seconds."""
        factor = self.real_time_factor
        fields: dict[str, Any] = {} if self.line is None else {"line": self.line}
        fields |= {
            "output": self.output,
            "replaced": self.has_replaced,
            "seconds": round(self.seconds, 6),
            "sample_rate_hz": self.sample_rate_hz,
            "seed": self.seed,
            "voice": self.voice,
            "segments": [segment.fields() for segment in self.segments],
            "timings": {
                "loading": round(self.loading_seconds, 3),
                "speaking": round(self.speaking_seconds, 3),
            },
            "real_time_factor": None if factor is None else round(factor, 3),
            "precision": self.precision,
            "provider": self.provider,
        }
        return printable_json(fields)

    def show(self, *, as_json: bool, to_stderr: bool) -> None:
        """Print the summary."""
        (print_error if to_stderr else click.echo)(self.json() if as_json else self.text())
