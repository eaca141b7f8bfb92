"""Weights of a checkpoint on disk, in either format, and how they get into a module."""

from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from bark_onnx.export.files import read_json
from bark_onnx.graphs.errors import CheckpointError

_WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")


def is_mask(name: str) -> bool:
    """Causal masks lie in old checkpoints; they are constants, made anew."""
    return name.endswith(".attn.bias")


def fill(
    module: nn.Module,
    weights: Mapping[str, Tensor],
    prefix: str,
    ignore: Callable[[str], bool],
) -> None:
    """Load the tensors of `weights` whose names begin with `prefix`.

    Names that `ignore` accepts may be missing.
    """
    expected = module.state_dict()
    state: dict[str, Tensor] = {}
    for name, ours in expected.items():
        found = _stored_name(weights, prefix + name)
        if found is None:
            if ignore(name):
                continue
            raise CheckpointError(
                f"tensor {prefix + name} is missing; "
                "the checkpoint is incomplete, download it again"
            )
        if is_mask(name):
            continue
        tensor = weights[found]
        if tensor.shape != ours.shape:
            raise CheckpointError(
                f"tensor {found} has shape {list(tensor.shape)}, "
                f"config.json says {list(ours.shape)}; the two do not belong together"
            )
        state[name] = tensor.to(torch.float32)
    module.load_state_dict(state, strict=False, assign=True)


def _stored_name(weights: Mapping[str, Tensor], name: str) -> str | None:
    """The name under which a tensor is stored: old checkpoints name weight norm otherwise."""
    if name in weights:
        return name
    for new, old in (("original0", "weight_g"), ("original1", "weight_v")):
        former = name.replace(f"parametrizations.weight.{new}", old)
        if former in weights:
            return former
    return None


@contextmanager
def open_weights(folder: Path) -> Iterator[Mapping[str, Tensor]]:
    """All tensors of a checkpoint by name, mapped from disk."""
    for name in _WEIGHT_FILES:
        index = folder / f"{name}.index.json"
        if index.is_file():
            files = _shards(index)
        elif (folder / name).is_file():
            files = [name]
        else:
            continue
        yield ChainMap(*(_map_file(folder / file) for file in files))
        return
    raise CheckpointError(f"{folder}: no weights; expected {' or '.join(_WEIGHT_FILES)}")


def _shards(index: Path) -> list[str]:
    files = read_json(index).get("weight_map")
    if not isinstance(files, dict) or not all(isinstance(file, str) for file in files.values()):
        raise CheckpointError(f"{index}: weight_map does not name files; download it again")
    return sorted(set(files.values()))


def _map_file(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return _SafeTensors(path)
        tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, ValueError, EOFError, SafetensorError, UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f"{path}: not readable as weights ({reason}); download it again"
        ) from error
    if not isinstance(tensors, dict):
        raise CheckpointError(
            f"{path}: found a {type(tensors).__name__}, expected tensors by name; download it again"
        )
    return tensors


class _SafeTensors(Mapping[str, Tensor]):
    """A safetensors file whose tensors are read when asked for."""

    def __init__(self, path: Path) -> None:
        self._file = safe_open(path, framework="pt")
        self._names = set(self._file.keys())

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        tensor: Tensor = self._file.get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names
