"""Reads tensors of files in either format, mapped from disk: any damage is one line."""

import re
import warnings
import zipfile
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from bark_onnx.graphs.errors import BarkError, CheckpointError, first_line
from bark_onnx.graphs.files.dataclass_json import read_json
from bark_onnx.graphs.files.regular_file import file_size

_WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")


def map_folder(folder: Path) -> Mapping[str, Tensor]:
    """The tensors of all weight files in a folder.

    Raises:
        CheckpointError: The files are missing, damaged, or not files of the folder.
    """
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
