"""Options of a request, and what it did on its way."""

from dataclasses import dataclass, field
from typing import Any

from bark_onnx.export.golden.sampling import Margin
from bark_onnx.graphs.generation_config import Sampling


@dataclass(frozen=True)
class Options:
    """Options of a request, complete."""

    semantic: Sampling
    coarse: Sampling
    fine: Sampling
    semantic_max_new_tokens: int
    min_eos_p: float | None
    min_eos_p_warped: bool


@dataclass
class Trace:
    """What a request did on its way, for those who look for the first difference."""

    end: str = ""  # what ended the semantic tokens: "token", "limit" or "min_eos_p"
    end_probabilities: list[float] = field(default_factory=list)  # before each semantic token
    coarse_windows: list[dict[str, Any]] = field(default_factory=list)
    fine_windows: list[dict[str, int]] = field(default_factory=list)
    margins: dict[str, Margin] = field(default_factory=dict)  # by stage
