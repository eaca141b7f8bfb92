"""What is said in a comparison, and what every engine tells of it."""

from collections.abc import Callable
from dataclasses import dataclass, field

TEXT = "In the light of the moon, a little egg lay on a leaf"


@dataclass(frozen=True)
class Measured:
    """What one utterance took."""

    seconds: dict[str, float]  # by stage
    prompt_seconds: dict[str, float]  # semantic and coarse: of these, for several tokens at once
    prompt_tokens: dict[str, int]  # that were run so
    step_tokens: dict[str, int]  # that were drawn after a single token was run


@dataclass
class Prompts:
    """Adds up the prompts of a causal stage."""

    seconds: float = 0.0
    tokens: int = 0
    runs: int = 0

    def add(self, tokens: int, seconds: float) -> None:
        """Count a run of several tokens."""
        self.seconds += seconds
        self.tokens += tokens
        self.runs += 1


@dataclass
class Meter:
    """Collects what an utterance takes."""

    prompts: dict[str, Prompts] = field(default_factory=dict)

    def reset(self) -> None:
        """Begin another utterance."""
        self.prompts = {stage: Prompts() for stage in ("semantic", "coarse")}

    def measured(self, seconds: dict[str, float], drawn: dict[str, int]) -> Measured:
        """The utterance, given seconds by stage and drawn tokens by causal stage."""
        return Measured(
            seconds=seconds,
            prompt_seconds={stage: prompts.seconds for stage, prompts in self.prompts.items()},
            prompt_tokens={stage: prompts.tokens for stage, prompts in self.prompts.items()},
            step_tokens={
                stage: drawn[stage] - prompts.runs for stage, prompts in self.prompts.items()
            },
        )


Say = Callable[[int, bool], Measured]  # semantic tokens, whether with a voice
