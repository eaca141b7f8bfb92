"""What a command says when it has spoken: a line for people, or a JSON object for programs."""

from dataclasses import dataclass
from typing import Any

import click

from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.audio.timestamps import Timestamp
from bark_onnx.runtime.text.terminal import printable_json


@dataclass(frozen=True)
class SegmentSummary:
    """A piece, without its samples."""

    timestamp: Timestamp
    seed: int

    @classmethod
    def of(cls, speech: Speech) -> "SegmentSummary":
        """What a speech was."""
        return cls(Timestamp.of(speech), speech.seed)

    def fields(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**self.timestamp.fields(), "seed": self.seed}


@dataclass(frozen=True)
class SpeechSummary:
    """What was said, and how long it took."""

    output: str | None  # where the sound is; None: it was only played
    sample_rate_hz: int
    seed: int  # of the whole
    voice: str | None  # as it was asked for
    loading_seconds: float
    precision: str
    provider: str
    seconds: float = 0.0  # of audio
    speaking_seconds: float = 0.0
    pieces: tuple[SegmentSummary, ...] = ()
    line: int | None = None  # of the text, from 1; None: all of it

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of work per second of audio; None where there is no audio."""
        return self.speaking_seconds / self.seconds if self.seconds else None

    def text(self) -> str:
        """One line for people."""
        pieces = f", {len(self.pieces)} pieces" if len(self.pieces) > 1 else ""
        if self.line is not None:  # said beside others, so that its time says nothing
            return f"{self.output}: {self.seconds:.2f} s of audio, seed {self.seed}{pieces}"
        where = {None: "played", "-": "standard output"}.get(self.output, self.output)
        factor = self.real_time_factor
        shown = "undefined" if factor is None else f"{factor:.2f}"
        return (
            f"{where}: {self.seconds:.2f} s of audio in "
            f"{self.speaking_seconds:.2f} s, real-time factor {shown}, seed {self.seed}{pieces} "
            f"(loading took {self.loading_seconds:.2f} s)"
        )

    def json(self) -> str:
        """One line for programs. Times are in seconds."""
        factor = self.real_time_factor
        fields: dict[str, Any] = {} if self.line is None else {"line": self.line}
        fields |= {
            "output": self.output,
            "seconds": round(self.seconds, 6),
            "sample_rate_hz": self.sample_rate_hz,
            "seed": self.seed,
            "voice": self.voice,
            "pieces": [piece.fields() for piece in self.pieces],
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
        """Print it."""
        click.echo(self.json() if as_json else self.text(), err=to_stderr)
