"""What `bark-onnx batch` shows: a bar of rows, failures, and a summary."""

from dataclasses import asdict
from typing import Any

import click

from bark_onnx.graphs.command_line import print_error
from bark_onnx.graphs.errors import printable
from bark_onnx.runtime.batch.folder import BatchFolder
from bark_onnx.runtime.batch.parquet import has_pyarrow, install_pyarrow
from bark_onnx.runtime.batch.run import BatchResult
from bark_onnx.runtime.batch.speaker import FinishedRow
from bark_onnx.runtime.cli.speech.progress import import_tqdm
from bark_onnx.runtime.text.terminal import excerpt, printable_json

_MAX_REPORTED = 10  # failures on standard error; all are in the manifest
_MAX_SHOWN = 60  # characters of an id in a message


class RowsBar:
    """A bar of rows on a terminal with the seconds of audio, and failures on standard error."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._seconds = 0.0
        self._num_failed = 0

    def begin(self, *, rows: int, kept: int) -> None:
        """See `Progress`."""
        self._bar = import_tqdm()(
            total=rows, initial=kept, unit="row", leave=False, disable=None, dynamic_ncols=True
        )

    def add(self, finished: FinishedRow) -> None:
        """See `Progress`."""
        self._seconds += finished.seconds
        self._bar.set_postfix_str(f"{self._bar.format_interval(self._seconds)} of audio", False)
        self._bar.update()
        if finished.sound is not None:
            return
        self._num_failed += 1
        if self._num_failed <= _MAX_REPORTED:
            self._bar.clear()
            print_error(f"bark-onnx: {_describe(finished)}")

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
        if self._num_failed > _MAX_REPORTED:
            print_error(f"bark-onnx: {self._num_failed - _MAX_REPORTED} further rows failed")


def _describe(finished: FinishedRow) -> str:
    row = finished.row
    return printable(f"row {row.number} ({excerpt(row.id, _MAX_SHOWN)}): {finished.error}")


def interrupted_message(folder: BatchFolder, result: BatchResult) -> str:
    """The message for an interrupt: what was done, and how to go on."""
    count = f"{result.kept + result.generated} of {result.rows}"
    return printable(
        f"interrupted; {count} rows are in {folder.path}, and the same command goes on with the "
        "others"
    )


def show_summary(
    folder: BatchFolder, result: BatchResult, seconds: float, *, as_json: bool
) -> None:
    """Print what was done."""
    if as_json:
        fields = {
            "folder": str(folder.path),
            **asdict(result),
            "seconds": round(result.seconds, 6),
            "manifests": [str(path) for path in folder.manifests],
            "timings": {"total": round(seconds, 3)},
        }
        click.echo(printable_json(fields))
        return
    kept = f", {result.kept} kept" if result.kept else ""
    failed = f", {result.failed} failed" if result.failed else ""
    missing = "" if has_pyarrow() else f"; for manifest.parquet: {install_pyarrow()}"
    click.echo(
        printable(
            f"{folder.path}: {result.generated} of {result.rows} rows generated{kept}{failed}, "
            f"{result.seconds:.2f} s of audio in {seconds:.2f} s{missing}"
        )
    )
