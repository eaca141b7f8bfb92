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
    sequences: int  # summed over the steps: rows / steps is the mean batch size


@dataclass(frozen=True)
class EngineStatus:
    """How busy an engine is."""

    stages: Mapping[Stage, StageStatus]
    waiting: int  # jobs that hold no slot: not begun, or between two stages
    running: int  # jobs that hold a slot


class Observer(Protocol):
    """Hears of every step."""

    def on_step(self, stage: Stage, sequences: int, seconds: float) -> None:
        """A decode step (one token of each sequence), a fine pass or a run of the codec.

        Called in the engine's thread; prompts are no steps. An observer that raises is logged and
        hears no more.
        """
