"""Entries of a manifest: what became of a row. A JSON object on a line of manifest.jsonl."""

import json
import re
from dataclasses import asdict, dataclass, field
from typing import Annotated

from bark_onnx.graphs.files.dataclass_json import SchemaError, from_json_dict, parse_json
from bark_onnx.graphs.ranges import Between
from bark_onnx.runtime.batch.row import MAX_SEED, Row
from bark_onnx.runtime.options.stream import Setting

_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Entry:
    """What became of a row: a file, or an error."""

    id: str
    file: str | None  # name in the folder; None: not written, as `error` says
    text: str | None  # None: the input has none
    voice: str | None
    seed: Annotated[int, Between(0, MAX_SEED)] | None
    seconds: float | None = None  # of audio
    sha256: str | None = None  # of the file, hexadecimal
    error: str | None = None  # why the row has no file
    options: dict[str, Setting] = field(default_factory=dict)  # of the row, beyond the batch's

    @classmethod
    def of(
        cls,
        row: Row,
        *,
        file: str | None = None,
        seconds: float | None = None,
        sha256: str | None = None,
        error: str | None = None,
    ) -> "Entry":
        """The entry of a row that was generated or has failed."""
        return cls(
            row.id, file, row.text, row.voice, row.seed, seconds, sha256, error, dict(row.options)
        )

    @classmethod
    def from_line(cls, line: bytes) -> "Entry":
        """Read a line of the manifest.

        Raises:
            ValueError: It is cut off or altered.
        """
        if not line.endswith(b"\n"):
            raise ValueError("the line is cut off")
        entry = from_json_dict(cls, parse_json(line))
        is_written = entry.file is not None and _SHA256.fullmatch(entry.sha256 or "") is not None
        if is_written != (entry.error is None):
            raise SchemaError("has neither a file nor an error")
        return entry

    def to_line(self) -> bytes:
        """The entry as a line of the manifest."""
        return f"{json.dumps(asdict(self), ensure_ascii=False)}\n".encode()

    def is_of(self, row: Row) -> bool:
        """Whether the entry is that of a row, which has not changed since."""
        return (self.text, self.voice, self.seed, self.options) == (
            *(row.text, row.voice, row.seed),
            dict(row.options),
        )
