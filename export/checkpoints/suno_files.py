"""Which of Suno's .pt files make one checkpoint: each stage has a small and a large one.

Knows names, not contents.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from bark_onnx.export.checkpoints.checkpoint import CONFIG_NAME
from bark_onnx.graphs.contract import CausalStage, Stage
from bark_onnx.graphs.errors import CheckpointError

Size = Literal["small", "large"]
SunoStage = CausalStage | Literal["fine"]

_NAMES: dict[SunoStage, str] = {"semantic": "text", "coarse": "coarse", "fine": "fine"}
_SUFFIXES: dict[Size, str] = {"small": ".pt", "large": "_2.pt"}


def is_suno_folder(folder: Path) -> bool:
    """Whether a folder holds Suno's files, and no checkpoint in the Hugging Face layout."""
    return not (folder / CONFIG_NAME).is_file() and any(
        (folder / f"{name}{suffix}").is_file()
        for name in _NAMES.values()
        for suffix in _SUFFIXES.values()
    )


def parse_sizes(text: str | None) -> dict[SunoStage, Size]:
    """Sizes of stages: "large" is of all, "large,text=small" of all but one.

    Raises:
        CheckpointError: a word is unknown.
    """
    stages = {name: stage for stage, name in _NAMES.items()}
    of_all: dict[SunoStage, Size] = {}
    of_one: dict[SunoStage, Size] = {}
    for word in () if text is None else text.split(","):
        name, equals, size = word.strip().rpartition("=")
        if size not in _SUFFIXES or (name not in stages if equals else name):
            raise CheckpointError(
                f"--size {text!r}: expected small, large, or sizes of single stages such as "
                "text=small,coarse=small,fine=large"
            )
        if name:
            of_one[stages[name]] = size
        else:
            of_all = dict.fromkeys(_NAMES, size)
    return of_all | of_one


def choose_files(folder: Path, sizes: Mapping[SunoStage, Size]) -> dict[Stage, Path]:
    """The file of each stage.

    Args:
        folder: holds them.
        sizes: of the stages that must have a certain one; others take what is there.

    Raises:
        CheckpointError: a file is missing, or both sizes are there and none was chosen.
    """
    return {stage: _choose_file(folder, stage, sizes.get(stage)) for stage in _NAMES}


def _choose_file(folder: Path, stage: SunoStage, size: Size | None) -> Path:
    name = _NAMES[stage]
    present = {
        other: folder / f"{name}{suffix}"
        for other, suffix in _SUFFIXES.items()
        if (folder / f"{name}{suffix}").is_file()
    }
    if not present:
        expected = " or ".join(f"{name}{suffix}" for suffix in _SUFFIXES.values())
        raise CheckpointError(
            f"{folder}: no {expected}; Suno's checkpoint is one file each for text, coarse and "
            "fine: download the missing one from suno/bark"
        )
    if size is None and len(present) > 1:
        both = " and ".join(path.name for path in present.values())
        raise CheckpointError(
            f"{folder}: found {both}, expected one of them; choose with --size small, "
            f"--size large, or --size {name}=small"
        )
    if size is not None and size not in present:
        (other, path) = next(iter(present.items()))
        raise CheckpointError(
            f"{folder}: no {name}{_SUFFIXES[size]} for --size {size}, but {path.name}; "
            f"download the former, or give --size {name}={other}"
        )
    return present[size] if size is not None else next(iter(present.values()))
