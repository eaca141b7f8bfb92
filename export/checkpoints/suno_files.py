"""Chooses among Suno's .pt files, by name: each stage has a small and a large one."""

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
    """Whether a folder holds Suno's files and not a checkpoint in the Hugging Face layout."""
    return not (folder / CONFIG_NAME).is_file() and any(
        (folder / f"{name}{suffix}").is_file()
        for name in _NAMES.values()
        for suffix in _SUFFIXES.values()
    )


def parse_sizes(text: str | None) -> dict[SunoStage, Size]:
    """Parse sizes: "large" for all stages, "large,text=small" with an exception.

    Raises:
        CheckpointError: A word is unknown.
    """
    stages = {name: stage for stage, name in _NAMES.items()}
    common: dict[SunoStage, Size] = {}
    single: dict[SunoStage, Size] = {}
    for word in () if text is None else text.split(","):
        name, equals, size = word.strip().rpartition("=")
        if size not in _SUFFIXES or (name not in stages if equals else name):
            raise CheckpointError(
                f"--size {text!r}: expected small, large, or sizes of single stages such as "
                "text=small,coarse=small,fine=large"
            )
        if name:
            single[stages[name]] = size
        else:
            common = dict.fromkeys(_NAMES, size)
    return common | single


def choose_files(folder: Path, sizes: Mapping[SunoStage, Size]) -> dict[Stage, Path]:
    """Choose the file of each stage.

    Args:
        folder: Folder with the files.
        sizes: Sizes by stage; other stages must have one size only.

    Raises:
        CheckpointError: A file is missing, or both sizes exist and none is chosen.
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
