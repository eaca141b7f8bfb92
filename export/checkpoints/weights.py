"""Reads the weights of a checkpoint, in either format, and loads them into modules."""

import re
import warnings
import zipfile
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from bark_onnx.graphs.errors import BarkError, CheckpointError, first_line
from bark_onnx.graphs.files.dataclass_json import read_json
from bark_onnx.graphs.files.regular_file import file_size

_WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")


def is_mask(name: str) -> bool:
    """Whether a tensor is a causal mask, a constant that old checkpoints store."""
    return name.endswith(".attn.bias")


@dataclass(frozen=True)
class Weights:
    """The tensors of one sub-model as a checkpoint stores them."""

    tensors: Mapping[str, Tensor]  # by the names of the checkpoint
    names: Callable[[str], Sequence[str]]  # a module's name to those in the checkpoint, best first
    where: object  # folder or file, for messages
    sizes: str  # source of the shapes, for messages
    is_exclusive: bool = False  # every tensor must belong to this sub-model


def load_state(module: nn.Module, weights: Weights, ignore: Callable[[str], bool]) -> None:
    """Load stored tensors into a module, as float32.

    Args:
        module: Module to change in place.
        weights: Stored tensors.
        ignore: Whether the tensor of a name may be missing.

    Raises:
        CheckpointError: A tensor is missing, has another shape or values that are not finite, or
            belongs to another model.
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
        state[name] = _checked(tensor, f"{weights.where}: tensor {stored[0]}")
    if weights.is_exclusive:
        _refuse_unknown(weights, read)
    module.load_state_dict(state, strict=False, assign=True)


def _checked(tensor: Tensor, where: str) -> Tensor:
    """A stored tensor as float32, with finite values only."""
    if not tensor.is_floating_point() or tensor.layout != torch.strided or tensor.is_meta:
        raise CheckpointError(
            f"{where} holds {tensor.dtype} ({tensor.layout}), expected floating-point values; "
            "download the checkpoint again"
        )
    tensor = tensor.to(torch.float32)
    bad = tensor.numel() - int(torch.isfinite(tensor).sum())
    if bad:
        raise CheckpointError(
            f"{where} holds NaN or infinity in {bad} of {tensor.numel()} places, expected finite "
            "values; the checkpoint is damaged, download it again"
        )
    return tensor


def _refuse_unknown(weights: Weights, read: set[str]) -> None:
    unknown = sorted(name for name in weights.tensors if name not in read and not is_mask(name))
    if unknown:
        raise CheckpointError(
            f"{weights.where}: tensor {unknown[0]} does not belong to the model described by "
            f"{weights.sizes}; the two do not belong together"
        )


def legacy_weight_norm_name(name: str) -> str:
    """Name of a tensor from before torch turned weight norm into a parametrization."""
    for new, old in (("original0", "weight_g"), ("original1", "weight_v")):
        name = name.replace(f"parametrizations.weight.{new}", old)
    return name


def folder_weights(folder: Path, prefix: str) -> Weights:
    """Tensors of one sub-model in the Hugging Face layout, mapped from disk."""

    def names(name: str) -> Sequence[str]:
        return prefix + name, legacy_weight_norm_name(prefix + name)

    return Weights(_map_folder(folder), names, folder, "config.json")


def _map_folder(folder: Path) -> Mapping[str, Tensor]:
    for name in _WEIGHT_FILES:
        index = folder / f"{name}.index.json"
        if index.is_file():
            files = _shards(index)
        elif (folder / name).is_file():
            files = [name]
        else:
            continue
        return ChainMap(*(_map_file(folder / file) for file in files))  # type: ignore[arg-type]
    raise CheckpointError(f"{folder}: no weights; expected {' or '.join(_WEIGHT_FILES)}")


def _shards(index: Path) -> list[str]:
    files = read_json(index).get("weight_map")
    if not isinstance(files, dict) or not all(map(_is_file_name, files.values())):
        raise CheckpointError(
            f"{index}: weight_map does not name files of its folder; download it again"
        )
    return sorted(set(files.values()))


def _is_file_name(name: object) -> bool:
    return isinstance(name, str) and name not in ("", ".", "..") and Path(name).name == name


def _map_file(path: Path) -> Mapping[str, Tensor]:
    try:
        file_size(path, CheckpointError, remedy="download it again")
    except OSError as error:
        raise _unreadable(path, "it is missing") from error
    if path.suffix == ".safetensors":
        try:
            return _SafeTensors(path)
        except Exception as error:  # safetensors and torch have no common class
            raise _unreadable(path, first_line(error)) from error
    return check_tensors(read_pickle(path), path)


def read_pickle(path: Path, *, is_mapped: bool = True, safe_globals: Sequence[Any] = ()) -> Any:
    """Read a file of `torch.save` without running code from it.

    Args:
        path: Path of the file.
        is_mapped: Whether to leave tensors on disk until use; requires the format of torch 1.6.
        safe_globals: Replacements for globals that torch refuses, each with the global's name.

    Raises:
        CheckpointError: The file cannot be read, is damaged, or refers to code.
    """
    try:
        if is_mapped and not _is_archive(path):
            raise _unreadable(path, "truncated, or not written by torch.save")
        with torch.serialization.safe_globals(list(safe_globals)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols of refused files
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_mapped)
    except UnpicklingError as error:
        refused = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = f"it refers to {refused[1]}, which was not run" if refused else "damaged"
        raise _unreadable(path, reason) from error
    except BarkError:
        raise
    except Exception as error:  # what torch raises for damaged files has no common class
        raise _unreadable(path, first_line(error)) from error


def _is_archive(path: Path) -> bool:
    with path.open("rb") as file:
        return zipfile.is_zipfile(file)


def _unreadable(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{path}: not readable as weights ({reason}); download it again")


def check_tensors(found: object, where: object) -> Mapping[str, Tensor]:
    """Check that an object is a mapping from names to tensors.

    Raises:
        CheckpointError: The object, which is at `where`, is of another kind.
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
    """A safetensors file, whose tensors are read on access."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = safe_open(path, framework="pt")
        self._names = set(self._file.keys())

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        try:
            tensor: Tensor = self._file.get_tensor(name)
        except Exception as error:  # as in `_map_file`
            raise _unreadable(self._path, f"tensor {name}: {first_line(error)}") from error
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names
