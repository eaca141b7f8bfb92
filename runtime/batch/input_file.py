"""The input of a batch: a text file with a text per line, JSON lines, CSV or Parquet.

Read line by line, as often as it is needed, and refused once it changes in between. Knows the names
of columns, not what they mean.
"""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from bark_onnx.graphs.errors import BatchError, first_line
from bark_onnx.graphs.files.atomic_write import wrap_os_errors
from bark_onnx.graphs.files.dataclass_json import parse_json, shown
from bark_onnx.graphs.files.regular_file import check_readable
from bark_onnx.runtime.batch.parquet import check_parquet, read_parquet
from bark_onnx.runtime.batch.row import TEXT, check_columns, parse_cell

_MAX_LINE_BYTES = 16 << 20  # also the characters of a field of CSV
_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True)
class Record:
    """The values of a row by column, as they stand in the input. None stands for no value."""

    number: int  # from 1: of the line of a text, or else of the row
    where: str  # for messages, as in "texts.csv, row 3"
    values: dict[str, Any]


class InputFile:
    """The file of a batch's rows; its suffix names the format.

    Raises:
        BatchError: It is missing, not a regular file, unreadable, or of another suffix.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        suffix = path.suffix.lower()
        if suffix not in _READERS:
            raise BatchError(
                f"{path}: suffix {path.suffix!r} is unknown, expected one of {', '.join(_READERS)}"
            )
        self._read = _READERS[suffix]
        try:
            check_readable(path, BatchError, remedy="a batch reads it more than once")
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BatchError(f"{path}: no such file") from error
        if suffix == _PARQUET:
            check_parquet(path)
        self._state = self._stat()

    def records(self) -> Iterator[Record]:
        """Read the rows from the beginning; what is blank is left out.

        Raises:
            BatchError: The file is malformed, has changed, or cannot be read.
        """
        self._check_unchanged()
        with (
            wrap_os_errors(BatchError, f"{self.path}: cannot be read"),
            self.path.open("rb") as file,
        ):
            yield from self._read(file, self.path)
        self._check_unchanged()

    def _check_unchanged(self) -> None:
        if self._stat() != self._state:
            raise BatchError(f"{self.path} was changed while it was read; run the command again")

    def _stat(self) -> tuple[int, int, int]:
        with wrap_os_errors(BatchError, f"{self.path}: cannot be read"):
            found = self.path.stat()
        return (found.st_ino, found.st_size, found.st_mtime_ns)


def _read_text(file: BinaryIO, path: Path) -> Iterator[Record]:
    for number, line in enumerate(_lines(file, path), 1):
        if text := line.strip():
            yield Record(number, f"{path}, line {number}", {TEXT: text})


def _read_json_lines(file: BinaryIO, path: Path) -> Iterator[Record]:
    for number, line in enumerate(_lines(file, path), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            values = parse_json(line)
        except ValueError as error:
            raise BatchError(f"{where}: not readable as JSON ({first_line(error)})") from error
        if not isinstance(values, dict):
            raise BatchError(f"{where}: the JSON is {shown(values)}, expected an object")
        check_columns([TEXT, *(name for name in values if name != TEXT)], where)
        yield Record(number, where, values)


def _read_csv(file: BinaryIO, path: Path) -> Iterator[Record]:
    former = csv.field_size_limit(_MAX_LINE_BYTES)
    rows = csv.reader(_lines(file, path), strict=True)
    number = 0  # of the row, from 1, without the header
    try:
        names = next(rows, [])
        check_columns(names, f"{path}, header")
        for cells in rows:
            if not cells:
                continue
            number += 1
            where = f"{path}, row {number}"
            if len(cells) != len(names):
                raise BatchError(
                    f"{where}: found {len(cells)} values, expected {len(names)}, as many as the "
                    'header; a text with commas stands in quotes: "Yes, please."'
                )
            pairs = zip(names, cells, strict=True)
            yield Record(
                number,
                where,
                {name: parse_cell(name, cell) if cell else None for name, cell in pairs},
            )
    except csv.Error as error:
        raise BatchError(f"{path}, row {number + 1}: not readable as CSV ({error})") from error
    finally:
        csv.field_size_limit(former)


def _read_parquet(file: BinaryIO, path: Path) -> Iterator[Record]:
    for number, values in enumerate(read_parquet(file, path), 1):
        if number == 1:
            check_columns(list(values), str(path))
        yield Record(number, f"{path}, row {number}", values)


def _lines(file: BinaryIO, path: Path) -> Iterator[str]:
    """Lines of UTF-8 with or without a byte order mark; "\\r\\n" becomes "\\n"."""
    number = 0
    while line := file.readline(_MAX_LINE_BYTES + 1):
        number += 1
        where = f"{path}, line {number}"
        if len(line) > _MAX_LINE_BYTES:
            raise BatchError(f"{where}: longer than {_MAX_LINE_BYTES >> 20} MiB; expected a text")
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise BatchError(
                f"{where} is not UTF-8 (byte {error.start} is {line[error.start]:#04x}); convert "
                "the file first, as with iconv -t utf-8"
            ) from error
        if number == 1:
            text = text.removeprefix(_BYTE_ORDER_MARK)
        yield f"{text[:-2]}\n" if text.endswith("\r\n") else text


_PARQUET = ".parquet"
_READERS: dict[str, Callable[[BinaryIO, Path], Iterator[Record]]] = {
    ".txt": _read_text,
    ".jsonl": _read_json_lines,
    ".csv": _read_csv,
    _PARQUET: _read_parquet,
}
