"""What a command says when it has spoken."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Report:
    """What was said, and how long it took."""

    output: str  # where the sound is
    seconds: float  # of audio
    seed: int
    pieces: int
    loading_seconds: float
    speaking_seconds: float

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of work per second of audio; None where there is no audio."""
        return self.speaking_seconds / self.seconds if self.seconds else None

    def line(self) -> str:
        """One line for people."""
        factor = self.real_time_factor
        shown = "undefined" if factor is None else f"{factor:.2f}"
        pieces = f", {self.pieces} pieces" if self.pieces > 1 else ""
        return (
            f"{self.output}: {self.seconds:.2f} s of audio in {self.speaking_seconds:.2f} s, "
            f"real-time factor {shown}, seed {self.seed}{pieces} "
            f"(loading took {self.loading_seconds:.2f} s)"
        )
