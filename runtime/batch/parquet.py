"""Parquet, with pyarrow, which the extra [batch] installs. Imported when it is needed."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from bark_onnx.graphs.errors import BatchError, first_line
from bark_onnx.graphs.files.atomic_write import atomic_write, wrap_os_errors
from bark_onnx.graphs.installation import install_command
from bark_onnx.runtime.batch.entry import Entry

_ROWS = 256  # read at a time
_GROUP_ROWS = 10_000  # written at a time


def has_pyarrow() -> bool:
    """Whether pyarrow is installed."""
    return find_spec("pyarrow") is not None


def install_pyarrow() -> str:
    """The command that installs pyarrow."""
    return install_command("cpu,batch")


def check_parquet(path: Path) -> None:
    """Check that a file's metadata can be read.

    Raises:
        BatchError: They cannot, or pyarrow is missing.
    """
    if not has_pyarrow():
        raise BatchError(
            f"{path}: the package pyarrow, which reads Parquet, is missing; install it with: "
            f"{install_pyarrow()}"
        )
    with path.open("rb") as file:
        _open(file, path)


def read_parquet(file: BinaryIO, path: Path) -> Iterator[dict[str, Any]]:
    """Rows as values by column.

    Raises:
        BatchError: The file is damaged.
    """
    import pyarrow as pa

    opened = _open(file, path)
    try:
        for batch in opened.iter_batches(batch_size=_ROWS):
            yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise BatchError(f"{path}: cannot be read ({first_line(error)})") from error


def write_parquet(path: Path, entries: Iterator[Entry]) -> None:
    """Write the manifest as a file that appears when it is complete.

    Raises:
        BatchError: The file cannot be written.
    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    text = pa.string()
    types = {"seed": pa.int64(), "seconds": pa.float64()}
    schema = pa.schema([(name, types.get(name, text)) for name in Entry.__dataclass_fields__])
    with (
        wrap_os_errors(BatchError, f"{path}: cannot be written"),
        atomic_write(path) as file,
        ParquetWriter(file, schema) as writer,
    ):
        while group := list(islice(entries, _GROUP_ROWS)):
            writer.write_table(pa.Table.from_pylist([_flat(each) for each in group], schema))


def _flat(entry: Entry) -> dict[str, Any]:
    """The values of a row, with the options as JSON."""
    return asdict(entry) | {"options": json.dumps(entry.options)}


def _open(file: BinaryIO, path: Path) -> Any:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        return ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise BatchError(f"{path}: not readable as Parquet ({first_line(error)})") from error
