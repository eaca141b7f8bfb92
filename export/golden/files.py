"""Files of a kit: JSON, and raw arrays in little-endian byte order."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A list of numbers without lists inside, as `json.dumps` indents it.
_NUMBERS = re.compile(r"\[\s+([-+.\deE,\s]+?)\s+\]")


@dataclass(frozen=True)
class KitFiles:
    """The folder of a kit, to write to."""

    folder: Path

    def write_json(self, name: str, data: Any) -> None:
        """Write a JSON file with one list of numbers a line."""
        text = json.dumps(data, indent=1, ensure_ascii=False)
        text = _NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text)
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", encoding="utf-8", newline="\n")

    def write_array(
        self, name: str, array: NDArray[Any], *, tolerance: float | None = None
    ) -> dict[str, Any]:
        """Write an array; return its description.

        Args:
            name: Path in the kit, without suffix; its last part is the name of the tensor.
            array: Numbers of any shape.
            tolerance: Largest difference from each value that a port may have; None: equal.
        """
        path = self.folder / f"{name}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        little = array.astype(array.dtype.newbyteorder("<"))
        path.write_bytes(np.ascontiguousarray(little).tobytes())
        described: dict[str, Any] = {
            "name": path.stem,
            "dtype": array.dtype.name,
            "shape": list(array.shape),
            "file": f"{name}.bin",
        }
        return described if tolerance is None else {**described, "tolerance": tolerance}


def rounded(value: float) -> float:
    """A number with three significant digits."""
    return float(f"{value:.3g}")
