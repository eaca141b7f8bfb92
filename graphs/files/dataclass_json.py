"""Dataclasses from parsed JSON, strictly: no unknown or missing key, no wrong type.

Knows nothing of Bark. Errors name the location, as in `models.semantic.num_heads`.
"""

import dataclasses
import json
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from bark_onnx.graphs.errors import CheckpointError

T = TypeVar("T")


class SchemaError(ValueError):
    """Parsed JSON does not match the dataclass."""


def from_json_dict(kind: type[T], data: object, where: str) -> T:
    """Build the dataclass `kind` from parsed JSON, found at `where`.

    Fields may be int, float, bool, str, None, another dataclass, `tuple[X, ...]` (a JSON list),
    `dict[str, X]`, or a union of those.

    Raises:
        SchemaError: A key is unknown or missing, or a value has another type.
    """
    return typing.cast(T, _read(kind, data, where))


def _read(kind: Any, data: object, where: str) -> Any:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return _read_union(typing.get_args(kind), data, where)
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(kind, data, where)
    if origin is tuple:
        if not isinstance(data, list | tuple):
            raise SchemaError(f"{where}: found {_shown(data)}, expected a list")
        item = typing.get_args(kind)[0]
        return tuple(_read(item, value, f"{where}[{i}]") for i, value in enumerate(data))
    if origin is dict:
        if not isinstance(data, dict):
            raise SchemaError(f"{where}: found {_shown(data)}, expected an object")
        item = typing.get_args(kind)[1]
        return {key: _read(item, value, f"{where}.{key}") for key, value in data.items()}
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if not isinstance(data, kind) or (isinstance(data, bool) and kind is not bool):
        raise SchemaError(f"{where}: found {_shown(data)}, expected {_name(kind)}")
    return data


def _read_dataclass(kind: Any, data: object, where: str) -> Any:
    if not isinstance(data, dict):
        raise SchemaError(f"{where}: found {_shown(data)}, expected an object")
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    if unknown := sorted(set(data) - set(fields)):
        raise SchemaError(f"{where}: unknown key {unknown[0]!r}, expected one of {sorted(fields)}")
    required = {
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    if missing := sorted(required - set(data)):
        raise SchemaError(f"{where}: key {missing[0]!r} is missing")
    return kind(**{key: _read(hints[key], value, f"{where}.{key}") for key, value in data.items()})


def _read_union(kinds: tuple[Any, ...], data: object, where: str) -> Any:
    for kind in kinds:
        try:
            return _read(kind, data, where)
        except SchemaError:
            continue
    names = " or ".join(_name(kind) for kind in kinds)
    raise SchemaError(f"{where}: found {_shown(data)}, expected {names}")


def _name(kind: Any) -> str:
    return "null" if kind is type(None) else getattr(kind, "__name__", str(kind))


def _shown(data: object) -> str:
    text = repr(data)
    return text if len(text) <= 40 else f"{text[:37]}..."


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a checkpoint's file.

    Raises:
        CheckpointError: The file is missing, or holds something else.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path.parent}: no {path.name}; expected a Bark checkpoint in the Hugging Face layout"
        ) from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{path}: found a {type(data).__name__}, expected a JSON object")
    return data
