"""All of Suno's presets: their names, and stand-ins with their real types and shapes."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bark_onnx.runtime.voices.aliases import LANGUAGES

# Files in bark/assets/prompts: 1 + 10 + 13 * 10 * 2 = 271.
PRESET_NAMES = [
    "announcer",
    *(f"speaker_{number}" for number in range(10)),
    *(
        f"{series}{language.code}_speaker_{number}"
        for series in ("", "v2/")
        for language in LANGUAGES
        for number in range(10)
    ),
]


def preset_arrays(name: str) -> dict[str, NDArray[np.integer]]:
    """Random tokens; announcer is uint16 throughout, the others are int64 with int32 fine codes."""
    rng = np.random.default_rng(list(name.encode()))
    semantic = 499 if name == "announcer" else int(rng.integers(150, 600))
    frames = semantic * 750 // 499
    fine = rng.integers(0, 1024, (8, frames))
    arrays = {
        "semantic_prompt": rng.integers(0, 10_000, semantic),
        "coarse_prompt": fine[:2],
        "fine_prompt": fine.astype(np.int32),
    }
    if name == "announcer":
        return {key: array.astype(np.uint16) for key, array in arrays.items()}
    return arrays


def write_presets(folder: Path, names: list[str]) -> None:
    """Presets as Suno's bark/assets/prompts has them."""
    for name in names:
        path = folder / f"{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **preset_arrays(name))
