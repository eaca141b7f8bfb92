"""Ranges of numbers, as annotations of dataclass fields: `Annotated[int, Between(1, 60)]`.

`dataclass_json` checks them wherever a dataclass is built from parsed JSON.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Between:
    """A range of finite numbers, bounds included."""

    minimum: float
    maximum: float
    excludes_minimum: bool = False

    def __contains__(self, value: float) -> bool:
        if self.excludes_minimum and value == self.minimum:
            return False
        return self.minimum <= value <= self.maximum  # False for NaN

    def __str__(self) -> str:
        if self.excludes_minimum:
            return f"more than {self.minimum} and at most {self.maximum}"
        return f"from {self.minimum} to {self.maximum}"
