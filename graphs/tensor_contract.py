"""TensorContract: name, type and shape of one input or output of a graph."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class TensorContract:
    """One input or output of a graph."""

    name: str
    dtype: str  # name of the numpy dtype, or "string"
    shape: tuple[int | str, ...]  # a string names an axis of variable length
    # Not compared, so that graphs with another wording still match.
    meaning: str = field(compare=False)

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """`dtype` as a numpy object."""
        return np.dtype(object if self.dtype == "string" else self.dtype)

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}[{', '.join(map(str, self.shape))}]"
