"""Worker of a batch on Ray Data: one bundle in a process of the cluster.

A table of rows comes in, and a table for each row goes out, in the same order: Ray repeats what a
worker that died had begun, and goes on where its results ended. Knows no other worker.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import ray

from bark_onnx.graphs.errors import BarkError, EngineError
from bark_onnx.runtime.bark import Bark
from bark_onnx.runtime.batch.row import Row
from bark_onnx.runtime.batch.speaker import FinishedRow, Speaker, SpeakerSettings
from bark_onnx.runtime.inference.thread_pool import use_global_thread_pool

MAX_ATTEMPTS = 3  # at a table

_DIED = 1  # exit status

_SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("sound", pa.large_binary()),
        ("seconds", pa.float64()),
        ("error", pa.string()),
    ]
)


def to_table(rows: Sequence[Row], voices: Mapping[int, bytes]) -> Any:
    """A `pyarrow.Table` of rows.

    Args:
        rows: Rows.
        voices: Contents of the file of each voice that is given as a path, by number of the row.
    """
    texts = [json.dumps(asdict(row)) for row in rows]
    contents = [voices.get(row.number) for row in rows]
    return pa.table({"row": texts, "voice": pa.array(contents, pa.binary())})


class RowWorker:
    """Generates tables of rows. Ray Data calls it.

    Args:
        settings: Settings of all rows.
        hardware: Arguments of `Bark.load`.
        attempts: Handle of `Attempts`.

    Raises:
        BarkError: The bundle cannot be loaded.
    """

    def __init__(
        self, settings: SpeakerSettings, hardware: Mapping[str, Any], attempts: Any
    ) -> None:
        use_global_thread_pool()
        self._attempts = attempts
        bark = Bark.load(**hardware, max_batch_size=settings.concurrency)
        self._voice_paths: dict[int, str] = {}  # of voices that came with a table, by row
        self._speaker = Speaker(bark, settings, voice_of=self._voice_of)

    def __call__(self, table: Any) -> Iterator[Any]:
        """Generate the rows of `to_table`; yields a table for each row."""
        columns = table.to_pydict()
        rows = [Row(**json.loads(each)) for each in columns["row"]]
        self._begin(rows[0].number)
        with TemporaryDirectory(prefix="bark-onnx-voices-") as folder:
            self._keep_voices(rows, columns["voice"], Path(folder))
            yield from map(_to_result, self._in_order(rows))

    def _in_order(self, rows: Sequence[Row]) -> Iterator[FinishedRow]:
        """Generate rows; each is yielded when it and those before it have ended."""
        numbers = [row.number for row in rows]
        finished: dict[int, FinishedRow] = {}  # by number

        def add(row: FinishedRow) -> None:
            finished[row.row.number] = row

        try:
            for each in self._speaker.stream(rows, add):
                add(each)
                while numbers and numbers[0] in finished:
                    yield finished.pop(numbers.pop(0))
        except BarkError as error:
            ray.get(self._attempts.fail.remote(str(error)))
            if isinstance(error, EngineError):
                os._exit(_DIED)  # Ray starts the worker again, with a new engine
            raise
        yield from (finished[number] for number in numbers)

    def _begin(self, table: int) -> None:
        """Count the attempt at a table.

        Raises:
            EngineError: It has ended as many workers as it may.
        """
        if ray.get(self._attempts.begin.remote(table)) > MAX_ATTEMPTS:
            raise EngineError(f"{MAX_ATTEMPTS} workers ended while they generated these rows")

    def _keep_voices(
        self, rows: Sequence[Row], voices: Sequence[bytes | None], folder: Path
    ) -> None:
        self._voice_paths.clear()
        for row, voice in zip(rows, voices, strict=True):
            if voice is not None:
                path = folder / f"{hashlib.sha256(voice).hexdigest()}.npz"
                path.write_bytes(voice)
                self._voice_paths[row.number] = str(path)

    def _voice_of(self, row: Row) -> str | None:
        return self._voice_paths.get(row.number, row.voice)


def _to_result(finished: FinishedRow) -> Any:
    values = {
        "number": finished.row.number,
        "sound": finished.sound,
        "seconds": finished.seconds,
        "error": finished.error,
    }
    return pa.Table.from_pylist([values], _SCHEMA)
