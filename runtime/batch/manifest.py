"""manifest.jsonl while a batch runs: entries are appended, and the last one of a row counts.

A process that is killed may leave half of the last line, which the next one cuts off.
"""

import io
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from bark_onnx.graphs.errors import BatchError
from bark_onnx.graphs.files.atomic_write import wrap_os_errors, write_all
from bark_onnx.graphs.files.partial_file import PartialFile
from bark_onnx.graphs.files.regular_file import file_size
from bark_onnx.runtime.batch.entry import Entry

_REMEDY = "remove it, or choose another folder"


class Manifest:
    """The entries of a folder by id, in a `with` block.

    Args:
        path: Path of manifest.jsonl, which is made if it is missing.
        name_of: Name of the file of an id.

    Raises:
        BatchError: The file is not a regular one, or cannot be opened.
    """

    def __init__(self, path: Path, name_of: Callable[[str], str]) -> None:
        self._path = path
        self._name_of = name_of
        self._offsets: dict[str, int] = {}  # of an entry's line, by id
        self._end = 0  # of the last whole line
        _check_regular(path)
        with wrap_os_errors(BatchError, f"{path}: cannot be written"):
            self._file = io.FileIO(path, "a", opener=_open_unlinked)
        try:
            with wrap_os_errors(BatchError, f"{path}: cannot be read"):
                self._reader = path.open("rb")
            self._read()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

    def find(self, row_id: str) -> Entry | None:
        """The last entry of a row; None if it has none."""
        offset = self._offsets.get(row_id)
        if offset is None:
            return None
        with wrap_os_errors(BatchError, f"{self._path}: cannot be read"):
            self._reader.seek(offset)
            return Entry.from_line(self._reader.readline())

    def append(self, entry: Entry) -> None:
        """Append an entry, completely or not at all.

        Raises:
            BatchError: The file cannot be written.
        """
        line = entry.to_line()
        try:
            with wrap_os_errors(BatchError, f"{self._path}: cannot be written"):
                write_all(self._file, line)
        except BaseException:
            self._cut()
            raise
        self._offsets[entry.id] = self._end
        self._end += len(line)

    def entries(self, ids: Iterable[str]) -> Iterator[Entry]:
        """The last entry of every row, in the order of ids; rows of other inputs follow."""
        ordered = dict.fromkeys(ids)
        for row_id in (*ordered, *(other for other in self._offsets if other not in ordered)):
            entry = self.find(row_id)
            if entry is not None:
                yield entry

    def finish(self, ids: Iterable[str]) -> None:
        """Write each row's last entry once, in the order of `entries`, and close the file.

        Raises:
            BatchError: The file cannot be written; the entries stay as they are.
        """
        with (
            wrap_os_errors(BatchError, f"{self._path}: cannot be written"),
            PartialFile(self._path) as partial,
        ):
            with open(partial.fd, "wb", closefd=False) as file:
                for entry in self.entries(ids):
                    file.write(entry.to_line())
            self._close()  # Windows does not replace a file that is open
            partial.commit()

    def _read(self) -> None:
        """Find the entries, and cut off half a line at the end."""
        damaged = 0
        with wrap_os_errors(BatchError, f"{self._path}: cannot be read"):
            for line in self._reader:
                try:
                    entry = self._checked(Entry.from_line(line))
                except ValueError:
                    damaged += line.endswith(b"\n")
                else:
                    self._offsets[entry.id] = self._end
                self._end += len(line) if line.endswith(b"\n") else 0
        self._cut()
        if damaged:
            lines = "1 line is" if damaged == 1 else f"{damaged} lines are"
            warnings.warn(
                f"{self._path}: {lines} damaged; what they described is generated again",
                stacklevel=2,
            )

    def _checked(self, entry: Entry) -> Entry:
        if entry.file not in (None, self._name_of(entry.id)):
            raise ValueError("the file is not that of the id")
        return entry

    def _cut(self) -> None:
        """Remove what follows the last whole line."""
        with wrap_os_errors(BatchError, f"{self._path}: cannot be written"):
            self._file.truncate(self._end)

    def _close(self) -> None:
        self._reader.close()
        self._file.close()


def _check_regular(path: Path) -> None:
    if path.is_symlink():
        raise BatchError(f"{path} is a link, expected a regular file; {_REMEDY}")
    try:
        file_size(path, BatchError, remedy=_REMEDY)
    except FileNotFoundError:
        return


def _open_unlinked(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)
