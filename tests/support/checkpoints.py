"""A tiny checkpoint in tests: its tensors, changes to its files, and errors."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bark_onnx.export.checkpoints.checkpoint import open_checkpoint
from bark_onnx.export.random_bark import RandomBark
from bark_onnx.graphs.contract import STAGES
from bark_onnx.graphs.errors import CheckpointError
from tests.support.messages import assert_one_line

TINY = RandomBark(num_layers=1, num_heads=2, hidden_size=8, bias=True, max_new_tokens=99, seed=3)
WEIGHTS = "model.safetensors"


def tensors_of(folder: Path, stage: str) -> dict[str, Tensor]:
    with open_checkpoint(str(folder)).sub_model(stage) as model:
        return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def used_tensors(stage: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that the graphs use; the codec's encoder is not among them."""
    if stage != "codec":
        return tensors
    return {
        name: tensor
        for name, tensor in tensors.items()
        if name.startswith("decoder.") or name.endswith("codebook.embed")
    }


def assert_same_tensors(folder: Path, other: Path) -> None:
    for stage in STAGES:
        found = used_tensors(stage, tensors_of(folder, stage))
        expected = used_tensors(stage, tensors_of(other, stage))
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            assert torch.equal(found[name], tensor), (stage, name)


def change_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def change_weights(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)


def open_and_load(folder: Path, stage: str | None) -> None:
    checkpoint = open_checkpoint(str(folder))
    if stage is not None:
        with checkpoint.sub_model(stage):
            pass


def assert_refused(folder: Path, *words: str, stage: str | None = None) -> None:
    with pytest.raises(CheckpointError) as caught:
        open_and_load(folder, stage)
    assert_one_line(caught.value, *words)
