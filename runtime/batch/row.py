"""Rows of a batch: what the columns of its input hold, checked and completed.

Knows no file. Options are checked where a row is generated, as they add to those of the batch.
"""

import hashlib
import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from bark_onnx.graphs.errors import BarkError, BatchError, OptionsError, TextError, shortened
from bark_onnx.runtime.options.generation import GenerationOptions, is_finite_number
from bark_onnx.runtime.options.stream import Setting, StreamOptions
from bark_onnx.runtime.seeds import SEED_BITS, resolve_seed
from bark_onnx.runtime.text.checks import check_text
from bark_onnx.runtime.text.terminal import excerpt

ID, TEXT, VOICE, SEED = "id", "text", "voice", "seed"
MAX_SEED = 2**63 - 1  # what a column of integers can hold
MAX_ERROR = 500  # characters

_ALL_STAGES = {"temperature": float, "top_k": int, "top_p": float, "do_sample": bool}
_WITHOUT_COLUMN = ("concurrency", "seed_bits")  # the former does not change the sound
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_MIN_DIGITS = 6  # of a row's number as an id
_MAX_SHOWN = 60  # characters of a value in a message
_DIGEST_BITS = 64


def _kinds_of(options: type) -> dict[str, type]:
    """Type of each field, None aside."""
    kinds = {}
    for name, hint in typing.get_type_hints(options).items():
        members = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        kinds[name] = members[0] if isinstance(members[0], type) else str
    return kinds


GENERATION_COLUMNS = {**_ALL_STAGES, **_kinds_of(GenerationOptions)}
STREAM_COLUMNS = {
    name: kind for name, kind in _kinds_of(StreamOptions).items() if name not in _WITHOUT_COLUMN
}
_OPTION_KINDS: dict[str, type] = {**GENERATION_COLUMNS, **STREAM_COLUMNS}
COLUMNS = (ID, TEXT, VOICE, SEED, *_OPTION_KINDS)


@dataclass(frozen=True)
class Row:
    """A text with all that determines its sound, but for the options of the batch."""

    number: int  # from 1, as in the input
    id: str
    text: str | None  # None: missing or invalid, as `error` says
    voice: str | None  # name, language or path of an .npz file; None: the model chooses
    seed: int | None  # None: it is invalid, as `error` says
    options: Mapping[str, Setting]  # those that differ from the batch's, by name
    error: str | None = None  # why the row cannot be generated


@dataclass(frozen=True)
class RowDefaults:
    """What rows have that do not say otherwise."""

    voice: str | None = None
    seed: int = 0  # from which, and its id, a row's seed is derived


def check_columns(names: Collection[str], where: str) -> None:
    """Check the names of columns.

    Raises:
        BatchError: A name is unknown or there twice, or the text is missing.
    """
    for name in names:
        if name not in COLUMNS:
            raise BatchError(
                f"{where}: the column {excerpt(name, _MAX_SHOWN)!r} is unknown; expected text, and "
                f"any of {', '.join(each for each in COLUMNS if each != TEXT)}"
            )
    if len(set(names)) < len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise BatchError(f"{where}: the column {twice} is there twice; expected it once")
    if TEXT not in names:
        raise BatchError(f"{where}: the column text is missing; found {', '.join(names) or 'none'}")


def parse_cell(name: str, cell: str) -> Any:
    """The value of a cell of a file that has only text; a malformed one stays as it is."""
    kind = int if name == SEED else _OPTION_KINDS.get(name, str)
    if kind is bool:
        return _WORDS.get(cell.strip().lower(), cell)
    if kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            return cell
    return cell


def make_row(number: int, values: Mapping[str, Any], defaults: RowDefaults, where: str) -> Row:
    """The row of the values of its columns, where None stands for no value.

    Raises:
        BatchError: The id is not one.
    """
    given = {name: value for name, value in values.items() if value is not None}
    row_id = _read_id(given[ID], where) if ID in given else f"{number:0{_MIN_DIGITS}}"
    if ID in values and ID not in given:
        raise BatchError(f"{where}: the id is empty; expected one in every row, or no column id")
    error = None
    text, voice, options = given.get(TEXT), given.get(VOICE, defaults.voice), {}
    seed = given.get(SEED, derive_seed(defaults.seed, row_id))
    try:
        _check_seed(seed)
        _check_string(TEXT, text)
        if voice is not None:
            _check_string(VOICE, voice)
        options = {name: _read_option(name, given[name]) for name in given if name in _OPTION_KINDS}
    except BarkError as found:
        error = shortened(str(found), MAX_ERROR)
    return Row(
        number,
        row_id,
        text if _is_unicode(text) else None,
        voice if _is_unicode(voice) else None,
        seed if _is_seed(seed) else None,
        options,
        error,
    )


def derive_seed(seed: int, row_id: str) -> int:
    """The seed of a row that has none, which does not depend on other rows."""
    digest = hashlib.sha256(f"{seed} {row_id}".encode()).digest()
    return int.from_bytes(digest[: _DIGEST_BITS // 8], "big") >> (_DIGEST_BITS - SEED_BITS)


def split_options(
    options: Mapping[str, Setting],
) -> tuple[dict[str, Setting], dict[str, Setting]]:
    """Options of a row for `GenerationOptions.replace` and `StreamOptions.replace`."""
    generation = {name: value for name, value in options.items() if name in GENERATION_COLUMNS}
    stream = {name: value for name, value in options.items() if name in STREAM_COLUMNS}
    return generation, stream


def _read_id(value: object, where: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value or not _is_unicode(value):
        found = excerpt(repr(value), _MAX_SHOWN)
        raise BatchError(f"{where}: the id is {found}, expected a text or an integer")
    return value


def _check_string(name: str, value: object) -> None:
    if name == TEXT:
        check_text(value)
    elif not isinstance(value, str):
        found = excerpt(repr(value), _MAX_SHOWN)
        raise OptionsError(f"{name} is {found}, expected a name, a language or a path")
    if not _is_unicode(value):
        raise TextError(f"The {name} is not valid Unicode; expected no lone surrogates")


def _check_seed(value: Any) -> None:
    if resolve_seed(value) > MAX_SEED:
        raise OptionsError(f"seed is {value!r}, expected an integer from 0 to {MAX_SEED}")


def _is_seed(value: object) -> bool:
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    return is_integer and 0 <= typing.cast("int", value) <= MAX_SEED


def _read_option(name: str, value: object) -> Setting:
    if _OPTION_KINDS[name] is float and is_finite_number(value):
        return float(typing.cast("float", value))  # as in every other format
    if _is_unicode(value) or isinstance(value, bool | int) or is_finite_number(value):
        return typing.cast("Setting", value)
    found = excerpt(repr(value), _MAX_SHOWN)
    raise OptionsError(f"{name} is {found}, expected a number, a word, true or false")


def _is_unicode(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(value.encode() or True)
    except UnicodeEncodeError:
        return False
