"""The algorithm of a batch: check all rows, generate those that have no file yet, write manifests.

Knows neither the command line nor what generates rows.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from bark_onnx.graphs.errors import BarkError, BatchError
from bark_onnx.graphs.interrupts import delayed_interrupts
from bark_onnx.runtime.batch.file_names import key_of
from bark_onnx.runtime.batch.folder import BatchFolder
from bark_onnx.runtime.batch.input_file import InputFile, Record
from bark_onnx.runtime.batch.pool import Pool
from bark_onnx.runtime.batch.row import Row, RowDefaults, make_row
from bark_onnx.runtime.batch.speaker import FinishedRow, OnRow
from bark_onnx.runtime.text.terminal import excerpt

_MAX_SHOWN = 60  # characters of an id in a message


class Progress(Protocol):
    """What shows how far a batch is."""

    def begin(self, *, rows: int, kept: int) -> None:
        """Receive the number of rows, and of those that are kept."""

    def add(self, finished: FinishedRow) -> None:
        """Receive a row that was generated or has failed."""


@dataclass
class BatchResult:
    """What a run has done so far."""

    rows: int = 0  # of the input
    kept: int = 0  # had a file before
    generated: int = 0
    failed: int = 0
    seconds: float = 0.0  # of audio that was generated


@dataclass
class _Plan:
    """The rows of the input by id, in its order, as far as they were checked."""

    is_kept: dict[str, bool] = field(default_factory=dict)
    changed: Row | None = None  # the first row that is not the one that its file was made for
    num_changed: int = 0


def run_batch(
    source: InputFile,
    folder: BatchFolder,
    defaults: RowDefaults,
    pool: Pool,
    progress: Progress,
    result: BatchResult,
    *,
    replaces_changed: bool = False,
) -> None:
    """Generate the rows of an input that are not in a folder yet.

    Both manifests are written at the end, after an error or an interrupt too.

    Args:
        source: Input.
        folder: Open folder.
        defaults: What rows have that do not say otherwise.
        pool: Generates rows.
        progress: Shows how far the batch is.
        result: Receives what was done.
        replaces_changed: Whether rows that differ from those of an earlier run are generated again.

    Raises:
        BarkError: A row cannot be one, rows have changed, or a file cannot be written.
    """
    plan = _check_rows(source, folder, defaults)
    if plan.changed is not None and not replaces_changed:
        raise _changed_error(plan.changed, plan.num_changed - 1, folder)
    result.rows, result.kept = len(plan.is_kept), sum(plan.is_kept.values())
    folder.begin()
    progress.begin(rows=result.rows, kept=result.kept)

    def on_row(finished: FinishedRow) -> None:
        with delayed_interrupts():
            _write(finished, folder, result)
            progress.add(finished)

    try:
        pool.speak(_pending(source, plan, defaults, on_row), on_row, folder.scratch)
    except BaseException:
        try:
            folder.finish(plan.is_kept)
        except BarkError as error:
            warnings.warn(str(error), stacklevel=2)
        raise
    folder.finish(plan.is_kept)


def _check_rows(source: InputFile, folder: BatchFolder, defaults: RowDefaults) -> _Plan:
    """Check every row, and find out which ones are in the folder."""
    plan = _Plan()
    names: set[str] = set()  # of files, as file systems compare them
    for record in source.records():
        row = _row(record, defaults)
        key = key_of(folder.name_of(row.id))
        if key in names:
            raise _duplicate_error(record, row, source, folder, defaults)
        names.add(key)
        entry = folder.find(row.id)
        has_file = entry is not None and entry.file is not None
        plan.is_kept[row.id] = has_file and entry is not None and entry.is_of(row)
        if has_file and not plan.is_kept[row.id]:
            plan.changed = plan.changed or row
            plan.num_changed += 1
    if not plan.is_kept:
        raise BatchError(f"{source.path} has no rows; expected at least one text")
    return plan


def _pending(source: InputFile, plan: _Plan, defaults: RowDefaults, on_row: OnRow) -> Iterator[Row]:
    """Rows to generate; those with an error are reported at once."""
    for record in source.records():
        row = _row(record, defaults)
        if plan.is_kept[row.id]:
            continue
        if row.error is None:
            yield row
        else:
            on_row(FinishedRow(row, None, error=row.error))


def _write(finished: FinishedRow, folder: BatchFolder, result: BatchResult) -> None:
    if finished.sound is None:
        folder.add_failure(finished.row, finished.error or "failed without a reason")
        result.failed += 1
    else:
        folder.add(finished.row, finished.sound, finished.seconds)
        result.generated += 1
        result.seconds += finished.seconds


def _row(record: Record, defaults: RowDefaults) -> Row:
    return make_row(record.number, record.values, defaults, record.where)


def _duplicate_error(
    record: Record, row: Row, source: InputFile, folder: BatchFolder, defaults: RowDefaults
) -> BatchError:
    """The error for a row whose file an earlier row has."""
    key = key_of(folder.name_of(row.id))
    for other_record in source.records():
        other = _row(other_record, defaults)
        if key_of(folder.name_of(other.id)) == key:
            break
    found = f"{record.where}: the id {excerpt(row.id, _MAX_SHOWN)!r}"
    first = other_record.where.rpartition(", ")[2]
    if other.id == row.id:
        return BatchError(f"{found} is also that of {first}; expected ids that differ")
    return BatchError(
        f"{found} differs from {excerpt(other.id, _MAX_SHOWN)!r} of {first} by upper and lower "
        "case alone, and many systems take such files for one; expected other ids"
    )


def _changed_error(row: Row, num_others: int, folder: BatchFolder) -> BatchError:
    entry = folder.find(row.id)
    names = ("text", "voice", "seed", "options")
    found = [name for name in names if getattr(entry, name) != getattr(row, name)]
    others = f", and {num_others} further rows" if num_others else ""
    return BatchError(
        f"{folder.path}: the {' and the '.join(found)} of the row {excerpt(row.id, _MAX_SHOWN)!r}"
        f"{others} changed since its file was written; choose another folder, or generate them "
        "again with --force"
    )
