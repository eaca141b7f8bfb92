"""A batch on a Ray cluster: Ray Data hands tables of rows to workers, and takes their sounds back.

The sounds return through Ray's object store to the process of the command, which alone writes: no
folder has to be shared, and a row has one file whatever becomes of the workers.
"""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from itertools import islice
from math import ceil
from pathlib import Path

import ray
from ray.data import ActorPoolStrategy

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.errors import BatchError, VoiceError
from bark_onnx.graphs.voices.npz import VoiceFile
from bark_onnx.graphs.voices.voice import is_voice_path
from bark_onnx.runtime.batch.row import Row
from bark_onnx.runtime.batch.speaker import FinishedRow, OnRow, SpeakerSettings
from bark_onnx.runtime.cluster.attempts import Attempts
from bark_onnx.runtime.cluster.processes import bundle_everywhere, reported_error
from bark_onnx.runtime.cluster.ray_driver import connect, smallest_node, without_stdout
from bark_onnx.runtime.cluster.row_worker import MAX_ATTEMPTS, RowWorker, to_table
from bark_onnx.runtime.inference.providers.selection import select_precision

_THREADS = 4  # of a worker, where that many CPUs are in a machine
_WAVE_ROWS = 10_000  # in the object store at a time
_TABLES = 4  # per worker, if rows are few: those that end first help the others
_TABLE_ROUNDS = 8  # rows of a large table, in rows that are generated at the same time


class RayPool:
    """A `Pool` of workers, each with its own engine.

    Args:
        settings: Settings of all rows.
        address: Address of a cluster, "auto", or "local", which starts one on this machine.
        workers: Number of workers at most; None: as many as the cluster has room for.
        provider: Provider of the graphs; "auto" takes CUDA where the cluster has GPUs.
        precision: Precision of the graphs; None: the fastest.
        threads: CPUs of a worker; None: four, or fewer where machines have fewer.
        low_memory: Whether only the stage that runs is loaded.

    Raises:
        BatchError: Ray cannot start, or no cluster answers.
        BarkError: The bundle cannot be opened, or lacks the precision.
    """

    def __init__(
        self,
        settings: SpeakerSettings,
        address: str,
        *,
        workers: int | None,
        provider: str,
        precision: str | None,
        threads: int | None,
        low_memory: bool,
    ) -> None:
        self.settings = settings
        bundle = Bundle(settings.bundle)
        with ExitStack() as stack:
            stack.enter_context(without_stdout())
            connect(address, cpus=(workers or 1) * (threads or 1))
            stack.callback(ray.shutdown)
            resources = ray.cluster_resources()
            has_gpus = resources.get("GPU", 0) >= 1
            self.provider = ("cuda" if has_gpus else "cpu") if provider == "auto" else provider
            self.precision = select_precision(bundle, self.provider, precision)
            self._threads = threads or min(_THREADS, smallest_node())
            room = resources.get("CPU", 0) // self._threads
            if self.provider == "cuda":
                room = min(room, resources.get("GPU", 0))
            self._workers = workers or max(int(room), 1)
            self._stack = stack.pop_all()
        self._hardware = {
            "bundle": bundle_everywhere(bundle),
            "provider": self.provider,
            "precision": self.precision,
            "threads": self._threads,
            "low_memory": low_memory,
        }

    def speak(self, rows: Iterable[Row], on_row: OnRow, scratch: Path) -> None:
        """See `Pool`. A row whose worker dies is generated again by another one.

        Raises:
            BatchError: No worker generates any row.
        """
        waiting = iter(rows)
        while wave := list(islice(waiting, _WAVE_ROWS)):
            self._speak_wave(wave, on_row)

    def close(self) -> None:
        """See `Pool`."""
        self._stack.close()

    def _speak_wave(self, wave: list[Row], on_row: OnRow) -> None:
        voices = _read_voices(wave, on_row)
        waiting = {
            row.number: row
            for row in wave
            if row.number in voices or row.voice is None or not is_voice_path(row.voice)
        }
        total, reason = len(waiting), f"{MAX_ATTEMPTS} of them ended"
        size = max(1, min(_TABLE_ROUNDS * self.settings.concurrency, self._share(total)))
        for table_rows in (size, 1):  # what ends a worker is alone in the second turn
            if waiting:
                reason = self._generate(waiting, voices, table_rows, on_row) or reason
        if waiting and len(waiting) == total:
            raise BatchError(f"No worker of the Ray cluster generated a row ({reason})")
        for row in waiting.values():
            on_row(FinishedRow(row, None, error=f"No worker could generate the row ({reason})"))

    def _share(self, rows: int) -> int:
        """Rows of a table, so that every worker receives several tables."""
        return ceil(rows / (self._workers * _TABLES))

    def _generate(
        self, waiting: dict[int, Row], voices: Mapping[int, bytes], table_rows: int, on_row: OnRow
    ) -> str | None:
        """Generate rows, and remove those that have ended from `waiting`.

        Returns:
            Why rows have not ended, if that is known.
        """
        rows, tables = iter(list(waiting.values())), []
        while part := list(islice(rows, table_rows)):
            tables.append(ray.put(to_table(part, voices)))
        workers, attempts = (
            min(self._workers, len(tables)),
            ray.remote(num_cpus=0)(Attempts).remote(),
        )
        dataset = ray.data.from_arrow_refs(tables).map_batches(
            RowWorker,
            batch_size=None,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(min_size=1, max_size=workers, initial_size=workers),
            num_cpus=self._threads,
            num_gpus=1 if self.provider == "cuda" else 0,
            fn_constructor_args=(self.settings, self._hardware, attempts),
        )
        results = iter(dataset.iter_batches(batch_size=None, batch_format="pyarrow"))
        while True:
            try:
                table = next(results)
            except StopIteration:
                reason: str | None = ray.get(attempts.reason.remote())
                return reason
            except Exception as error:  # Ray raises its own and those of the workers
                return reported_error(str(error), type(error).__name__)
            for values in table.to_pylist():
                row = waiting.pop(values["number"], None)
                if row is not None:
                    finished = (values["sound"], values["seconds"], values["error"])
                    on_row(FinishedRow(row, *finished))


def _read_voices(rows: Iterable[Row], on_row: OnRow) -> dict[int, bytes]:
    """Files of voices that are given as paths, by row; a row without its file is reported."""
    voices: dict[int, bytes] = {}
    for row in rows:
        if row.voice is not None and is_voice_path(row.voice):
            try:
                voices[row.number] = VoiceFile.read(row.voice).contents
            except VoiceError as error:
                on_row(FinishedRow(row, None, error=str(error)))
    return voices
