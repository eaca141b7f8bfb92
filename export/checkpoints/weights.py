"""Weights of a checkpoint on disk, in either format, and how they get into a module."""

import re
import warnings
import zipfile
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from bark_onnx.graphs.bundle.dataclass_json import read_json
from bark_onnx.graphs.error_text import first_line
from bark_onnx.graphs.errors import CheckpointError

_WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")


def is_mask(name: str) -> bool:
    """Causal masks lie in old checkpoints; they are constants, made anew."""
    return name.endswith(".attn.bias")


@dataclass(frozen=True)
class Weights:
    """The tensors of one sub-model as a checkpoint stores them."""

    tensors: Mapping[str, Tensor]  # by the names of the checkpoint
    names: Callable[[str], Sequence[str]]  # of a module's tensor in the checkpoint, best first
    where: object  # folder or file, for messages
    sizes: str  # what states the shapes, for messages
    is_whole: bool = False  # holds this sub-model alone, so every tensor must belong to it


def load_state(module: nn.Module, weights: Weights, ignore: Callable[[str], bool]) -> None:
    """Load stored tensors into a module, as float32.

    Args:
        module: changed in place.
        weights: where the tensors lie, and by which names.
        ignore: accepts the names of the module whose tensors may be missing.

    Raises:
        CheckpointError: a tensor is missing, has another shape, or belongs to another model.
    """
    state: dict[str, Tensor] = {}
    read: set[str] = set()
    for name, ours in module.state_dict().items():
        stored = [other for other in weights.names(name) if other in weights.tensors]
        read.update(stored)
        if not stored:
            if ignore(name):
                continue
            raise CheckpointError(
                f"{weights.where}: tensor {weights.names(name)[0]} is missing; "
                "the checkpoint is incomplete, download it again"
            )
        if is_mask(name):
            continue
        tensor = weights.tensors[stored[0]]
        if tensor.shape != ours.shape:
            raise CheckpointError(
                f"{weights.where}: tensor {stored[0]} has shape {list(tensor.shape)}, "
                f"expected {list(ours.shape)} by {weights.sizes}; the two do not belong together"
            )
        state[name] = tensor.to(torch.float32)
    if weights.is_whole:
        _refuse_strangers(weights, read)
    module.load_state_dict(state, strict=False, assign=True)


def _refuse_strangers(weights: Weights, read: set[str]) -> None:
    strangers = sorted(name for name in weights.tensors if name not in read and not is_mask(name))
    if strangers:
        raise CheckpointError(
            f"{weights.where}: tensor {strangers[0]} belongs to no part of the model by "
            f"{weights.sizes}; the two do not belong together"
        )


def names_with_prefix(prefix: str) -> Callable[[str], Sequence[str]]:
    """Names in the Hugging Face layout: old checkpoints name weight norm otherwise."""

    def names(name: str) -> Sequence[str]:
        stored = prefix + name
        return tuple(dict.fromkeys((stored, legacy_weight_norm_name(stored))))

    return names


def legacy_weight_norm_name(name: str) -> str:
    """A tensor's name as torch named weight norm before it became a parametrization."""
    for new, old in (("original0", "weight_g"), ("original1", "weight_v")):
        name = name.replace(f"parametrizations.weight.{new}", old)
    return name


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


def _map_file(path: Path) -> Mapping[str, Tensor]:
    if path.suffix == ".safetensors":
        try:
            return _SafeTensors(path)
        except (OSError, SafetensorError) as error:
            raise _unreadable(path, first_line(error)) from error
    return check_tensors(read_pickle(path), path)


def read_pickle(path: Path, *, is_mapped: bool = True, safe_globals: Sequence[Any] = ()) -> Any:
    """What `torch.save` wrote. Nothing in the file is run.

    Args:
        path: the file.
        is_mapped: leave the tensors on disk until they are used; needs the format of torch 1.6.
        safe_globals: pairs of what to call in place of a global that torch refuses, and its name.

    Raises:
        CheckpointError: the file cannot be read, is damaged, or holds anything that is no data.
    """
    try:
        if is_mapped and not _is_archive(path):
            raise _unreadable(path, "truncated, or not written by torch.save")
        with torch.serialization.safe_globals(list(safe_globals)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about protocols of pickle, before it is refused
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_mapped)
    except UnpicklingError as error:
        refused = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = (
            f"it names {refused[1]}, which is no data; it was not run" if refused else "damaged"
        )
        raise _unreadable(path, reason) from error
    except (OSError, RuntimeError, ValueError, EOFError, LookupError) as error:
        raise _unreadable(path, first_line(error)) from error


def _is_archive(path: Path) -> bool:
    with path.open("rb") as file:
        return zipfile.is_zipfile(file)


def _unreadable(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{path}: not readable as weights ({reason}); download it again")


def check_tensors(found: object, where: object) -> Mapping[str, Tensor]:
    """Check that `found` is tensors by name.

    Raises:
        CheckpointError: it is something else; `where` names it.
    """
    if not isinstance(found, Mapping):
        raise CheckpointError(
            f"{where}: found a {type(found).__name__}, expected tensors by name; download it again"
        )
    for name, tensor in found.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise CheckpointError(
                f"{where}: found a {type(tensor).__name__} under {name!r}, "
                "expected tensors by name; download it again"
            )
    return found


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
