"""What can be seen of an engine at work."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from bark_onnx.graphs.contract import Stage


@dataclass(frozen=True)
class StageStatus:
    """How busy one stage is, and what it has done so far."""

    slots: int
    slots_in_use: int
    steps: int  # decode steps (semantic, coarse; no prompts), passes (fine) or runs (codec)
    sequences: int  # summed over the steps: sequences / steps is the mean batch size


@dataclass(frozen=True)
class EngineStatus:
    """How busy an engine is."""

    stages: Mapping[Stage, StageStatus]
    waiting: int  # jobs that hold no slot: not begun, or between two stages
    running: int  # jobs that hold a slot


@dataclass(frozen=True)
class BarkInfo:
    """What was loaded; returned by `Bark.describe`."""

    bundle: str  # folder of the bundle
    source: str  # checkpoint that it was exported from
    provider: str  # "cpu" or "cuda"
    precision: str  # precision of the loaded graphs
    precisions: tuple[str, ...]  # all precisions of the bundle
    attention: str  # "fused" or "standard": form of the causal graphs
    threads: int | None  # CPU threads per session; None: one per physical core
    low_memory: bool  # whether one stage at a time is loaded
    max_batch_size: int  # most sequences that are decoded together
    sample_rate_hz: int  # of all generated audio
    voices: int  # number of voices in the bundle


class Observer(Protocol):
    """Hears of every step."""

    def on_step(self, stage: Stage, batch_size: int, seconds: float) -> None:
        """A decode step (one token of each sequence), a fine pass or a run of the codec.

        Called in the engine's thread; prompts are no steps. An observer that raises is logged and
        hears no more.
        """
