"""Dataclasses from parsed JSON, strictly: no unknown or missing key, no wrong type or range.

Knows nothing of Bark. Errors name the location, as in `models.semantic.num_heads`.
"""

import dataclasses
import json
import math
import reprlib
import types
import typing
from pathlib import Path
from typing import Annotated, Any, TypeVar

from bark_onnx.graphs.errors import BarkError, CheckpointError
from bark_onnx.graphs.files.regular_file import read_file
from bark_onnx.graphs.ranges import Between

T = TypeVar("T")

_MAX_BYTES = 16 << 20  # of a JSON file; the largest index of a checkpoint has under one
_MAX_SHOWN = 40  # characters of a value in a message
_MAX_KEY = 120  # characters of a key in a message
_shortened = reprlib.Repr()
_shortened.maxlevel = 2
_shortened.maxstring = _shortened.maxlong = _shortened.maxother = _MAX_SHOWN


class SchemaError(ValueError):
    """Parsed JSON does not match the dataclass.

    Attributes:
        reason: What was found and what is expected.
        key: Location of the value, as in `models.semantic.num_heads`; may be empty.
    """

    def __init__(self, reason: str, key: str = "") -> None:
        super().__init__(f"{key} {reason}" if key else reason)
        self.reason = reason
        self.key = key


def from_json_dict(kind: type[T], data: object, where: str = "") -> T:
    """Build the dataclass `kind` from parsed JSON, found at `where`.

    Fields may be int, float (finite), bool, str, None, another dataclass, `tuple[X, ...]` (a JSON
    list), `dict[str, X]`, a union of those, or a number with a range, `Annotated[X, Between(…)]`.

    Raises:
        SchemaError: A key is unknown or missing, or a value has another type or is out of range.
    """
    return typing.cast(T, _read(kind, data, where))


def _read(kind: Any, data: object, where: str) -> Any:
    origin = typing.get_origin(kind)
    if origin is Annotated:
        return _read_in_range(kind, data, where)
    if origin in (typing.Union, types.UnionType):
        return _read_union(typing.get_args(kind), data, where)
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(kind, data, where)
    if origin is tuple:
        if not isinstance(data, list | tuple):
            raise _mismatch(data, "a list", where)
        item = typing.get_args(kind)[0]
        return tuple(_read(item, value, f"{where}[{i}]") for i, value in enumerate(data))
    if origin is dict:
        item = typing.get_args(kind)[1]
        return {key: _read(item, value, join(where, key)) for key, value in _items(data, where)}
    if kind is float and isinstance(data, int | float) and not isinstance(data, bool):
        return _read_float(data, where)
    if not isinstance(data, kind) or (isinstance(data, bool) and kind is not bool):
        raise _mismatch(data, _name(kind), where)
    if isinstance(data, str) and not _is_unicode(data):
        raise _mismatch(data, "valid Unicode", where)
    return data


def _read_in_range(kind: Any, data: object, where: str) -> Any:
    base, *rules = typing.get_args(kind)
    value = _read(base, data, where)
    for rule in rules:
        if isinstance(rule, Between) and value not in rule:
            raise _mismatch(value, str(rule), where)
    return value


def _read_float(data: float, where: str) -> float:
    try:
        value = float(data)
    except OverflowError:  # an integer beyond every float
        value = math.inf
    if not math.isfinite(value):
        raise _mismatch(data, "a finite number", where)
    return value


def _read_dataclass(kind: Any, data: object, where: str) -> Any:
    found = dict(_items(data, where))
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    if unknown := sorted(set(found) - set(fields)):
        raise SchemaError(f"is unknown, expected one of {sorted(fields)}", join(where, unknown[0]))
    required = {
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    if missing := sorted(required - set(found)):
        raise SchemaError("is missing", join(where, missing[0]))
    return kind(**{key: _read(hints[key], value, join(where, key)) for key, value in found.items()})


def _items(data: object, where: str) -> list[tuple[str, Any]]:
    if not isinstance(data, dict):
        raise _mismatch(data, "an object", where)
    for key in data:
        if not _is_unicode(key):
            raise SchemaError(f"has the key {shown(key)}, expected valid Unicode", where)
    return list(data.items())


def _read_union(kinds: tuple[Any, ...], data: object, where: str) -> Any:
    for kind in kinds:
        try:
            return _read(kind, data, where)
        except SchemaError:
            continue
    raise _mismatch(data, " or ".join(_name(kind) for kind in kinds), where)


def _mismatch(data: object, expected: str, where: str) -> SchemaError:
    return SchemaError(f"is {shown(data)}, expected {expected}", where or "the JSON")


def _name(kind: Any) -> str:
    return "null" if kind is type(None) else getattr(kind, "__name__", str(kind))


def _is_unicode(text: str) -> bool:
    """Whether a string has no lone surrogate, which JSON can hold and no file or terminal can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def join(where: str, key: str) -> str:
    """Location of a key in the object at `where`."""
    name = key if key and key.isprintable() and len(key) <= _MAX_KEY else shown(key)
    return f"{where}.{name}" if where else name


def shown(data: object) -> str:
    """A value of JSON for a message: short, and one line."""
    if data is None or isinstance(data, bool):
        return json.dumps(data)
    text = _shortened.repr(data)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."


def parse_json(text: str | bytes) -> Any:
    """Parse JSON.

    Raises:
        ValueError: The text is not JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def load_json(path: Path, error_class: type[BarkError], *, remedy: str) -> Any:
    """Read a JSON file.

    Raises:
        FileNotFoundError, NotADirectoryError: The file is missing.
        BarkError: It is not a regular file, too large, or not JSON; of `error_class`.
    """
    content = read_file(path, error_class, max_bytes=_MAX_BYTES, remedy=remedy)
    try:
        return parse_json(content.decode("utf-8"))
    except ValueError as error:
        raise error_class(f"{path}: not readable as JSON ({error}); {remedy}") from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a checkpoint's file.

    Raises:
        CheckpointError: The file is missing, or holds something else.
    """
    try:
        data = load_json(path, CheckpointError, remedy="download it again")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CheckpointError(
            f"{path.parent}: no {path.name}; expected a Bark checkpoint in the Hugging Face layout"
        ) from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{path}: the JSON is {shown(data)}, expected an object")
    return data
