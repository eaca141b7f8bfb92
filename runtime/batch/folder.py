"""The folder of a batch: one run at a time writes to it, and a row is in it whole or not at all.

A sound is written under the name of its checksum, then its entry, then it gets its own name: what
has an entry is never generated again, wherever the process was killed.
"""

import hashlib
import shutil
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from bark_onnx.graphs.errors import BatchError
from bark_onnx.graphs.files.atomic_write import atomic_write, wrap_os_errors
from bark_onnx.graphs.files.lock_file import LockFile
from bark_onnx.graphs.files.regular_file import is_folder
from bark_onnx.runtime.batch.entry import Entry
from bark_onnx.runtime.batch.file_names import file_name
from bark_onnx.runtime.batch.manifest import Manifest
from bark_onnx.runtime.batch.parquet import has_pyarrow, write_parquet
from bark_onnx.runtime.batch.row import Row
from bark_onnx.runtime.batch.settings import BatchSettings

_STATE = ".bark-onnx-batch"  # what is not for users
_LOCK, _SETTINGS, _SOUNDS = "lock", "settings.json", "sounds"
_JSON, _PARQUET = "manifest.jsonl", "manifest.parquet"


class BatchFolder:
    """The folder of a batch in a `with` block; it is made if it is missing.

    Attributes:
        path: Path of the folder.
        manifest: Entries of its rows.
        scratch: Folder for what is not complete.

    Args:
        path: Path of the folder: new, empty, or that of an earlier run.
        settings: Settings of the run.

    Raises:
        BatchError: The folder has other files or other settings, another run writes to it, or it
            cannot be written.
    """

    def __init__(self, path: Path, settings: BatchSettings) -> None:
        self.path = path
        self._format = settings.audio_format
        self.scratch = path / _STATE / _SOUNDS
        _make(path)
        with ExitStack() as stack:
            stack.enter_context(_lock(path))
            settings.keep(path / _STATE / _SETTINGS, path)
            self.manifest = stack.enter_context(Manifest(path / _JSON, self.name_of))
            with wrap_os_errors(BatchError, f"{path}: cannot be read"):
                self._complete = {each.name for each in self.scratch.iterdir()}
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def manifests(self) -> list[Path]:
        """Paths of the manifests that `finish` writes."""
        names = (_JSON, _PARQUET) if has_pyarrow() else (_JSON,)
        return [self.path / name for name in names]

    def name_of(self, row_id: str) -> str:
        """The name of a row's file."""
        return file_name(row_id, self._format)

    def find(self, row_id: str) -> Entry | None:
        """The entry of a row; one that has lost its file is none.

        Raises:
            BatchError: The folder cannot be read.
        """
        entry = self.manifest.find(row_id)
        if entry is None or entry.file is None:
            return entry
        target = self.path / entry.file
        with wrap_os_errors(BatchError, f"{target}: cannot be read"):
            if entry.sha256 in self._complete:  # the process was killed before it had its name
                self._complete.remove(entry.sha256)
                self._place(entry, target)
            return entry if target.is_file() else None

    def add(self, row: Row, sound: bytes, seconds: float) -> Entry:
        """Write the sound of a row, and its entry.

        Raises:
            BatchError: They cannot be written; the row then has neither.
        """
        digest = hashlib.sha256(sound).hexdigest()
        name = self.name_of(row.id)
        target = self.path / name
        if target.is_dir() and not target.is_symlink():
            raise BatchError(f"{target} is a folder, expected a file; rename it")
        with (
            wrap_os_errors(BatchError, f"{target}: cannot be written"),
            atomic_write(self.scratch / digest) as file,
        ):
            file.write(sound)
        entry = Entry.of(row, file=name, seconds=round(seconds, 6), sha256=digest)
        self.manifest.append(entry)
        with wrap_os_errors(BatchError, f"{target}: cannot be written"):
            self._place(entry, target)
        return entry

    def add_failure(self, row: Row, error: str) -> Entry:
        """Write the entry of a row that has failed.

        Raises:
            BatchError: It cannot be written.
        """
        former = self.manifest.find(row.id)
        entry = Entry.of(row, error=error)
        self.manifest.append(entry)
        if former is not None and former.file is not None:  # of another text
            target = self.path / former.file
            with wrap_os_errors(BatchError, f"{target}: cannot be removed"):
                target.unlink(missing_ok=True)
        return entry

    def begin(self) -> None:
        """Remove what earlier runs left behind. Every row that is kept was found before."""
        with wrap_os_errors(BatchError, f"{self.path}: cannot be written"):
            (self.path / _PARQUET).unlink(missing_ok=True)  # until the run has ended
            for path in self.scratch.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()

    def finish(self, ids: Iterable[str]) -> None:
        """Write both manifests, in the order of ids.

        Raises:
            BatchError: They cannot be written; manifest.jsonl then has its entries in any order.
        """
        ids = list(ids)
        if has_pyarrow():
            write_parquet(self.path / _PARQUET, self.manifest.entries(ids))
        self.manifest.finish(ids)

    def _place(self, entry: Entry, target: Path) -> None:
        """Give a sound its own name."""
        assert entry.sha256 is not None
        (self.scratch / entry.sha256).replace(target)


def _make(path: Path) -> None:
    """Make the folder and the one for its state.

    Raises:
        BatchError: It has files that are not of a batch, or cannot be made.
    """
    if path.exists() and not is_folder(path, BatchError):
        raise BatchError(f"{path} is a file, expected a folder")
    state = path / _STATE
    with wrap_os_errors(BatchError, f"{path}: cannot be written"):
        path.mkdir(exist_ok=True)
        if state.is_symlink() or (state / _SOUNDS).is_symlink():
            raise BatchError(f"{state} is a link, expected a folder; choose another folder")
        if not state.exists() and any(path.iterdir()):
            raise BatchError(
                f"{path} has files that are not of a batch; expected a new or an empty folder, or "
                "that of a batch to go on with"
            )
        (state / _SOUNDS).mkdir(parents=True, exist_ok=True)


def _lock(path: Path) -> LockFile:
    with wrap_os_errors(BatchError, f"{path}: cannot be written"):
        try:
            return LockFile(path / _STATE / _LOCK)
        except BlockingIOError as error:
            raise BatchError(
                f"{path}: another batch writes to it; wait for its end, or choose another folder"
            ) from error
