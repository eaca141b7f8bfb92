"""Status of an engine and observers of its steps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from bark_onnx.graphs.contract import Stage


@dataclass(frozen=True)
class BarkInfo:
    """What was loaded; returned by `Bark.describe`."""

    bundle: str  # folder of the bundle
    source: str  # checkpoint that it was exported from
    provider: str  # name of the provider, as "cpu"
    precision: str  # precision of the loaded graphs
    precisions: tuple[str, ...]  # all precisions of the bundle
    attention: str  # "fused" or "standard": form of the causal graphs
    threads: int | None  # CPU threads per session; None: one per physical core
    low_memory: bool  # whether one stage at a time is loaded
    max_batch_size: int  # most sequences that are decoded together
    sample_rate_hz: int  # of all generated audio
    voices: int  # number of voices in the bundle


@dataclass(frozen=True)
class StageStatus:
    """Load of one stage, and its counters since the engine started."""

    slots: int  # sequences that the stage can hold
    slots_in_use: int
    steps: int  # decode steps (semantic, coarse; prefills do not count), fine passes or codec runs
    sequences: int  # summed over the steps: sequences / steps is the mean batch size


@dataclass(frozen=True)
class EngineStatus:
    """Load of an engine."""

    stages: Mapping[Stage, StageStatus]
    waiting: int  # requests without a slot: not begun, or between two stages
    running: int  # requests with a slot


class Observer(Protocol):
    """Receives every step of an engine."""

    def on_step(self, stage: Stage, batch_size: int, seconds: float) -> None:
        """A decode step (one token per sequence), a fine pass or a codec run, but not a prefill.

        Called in the engine's thread. An observer that raises is logged and removed.
        """
