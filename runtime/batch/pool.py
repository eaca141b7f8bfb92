"""What generates the rows of a batch: on one machine, a bundle in the process of the command."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from bark_onnx.runtime.bark import Bark
from bark_onnx.runtime.batch.row import Row
from bark_onnx.runtime.batch.speaker import OnRow, Speaker, SpeakerSettings


class Pool(Protocol):
    """What generates rows.

    Attributes:
        settings: Settings of all rows.
        provider: Provider of the graphs.
        precision: Precision of the graphs.
    """

    settings: SpeakerSettings
    provider: str
    precision: str

    def speak(self, rows: Iterable[Row], on_row: OnRow, scratch: Path) -> None:
        """Generate rows.

        Args:
            rows: Rows without an error.
            on_row: Receives each row once, in any order.
            scratch: Folder for temporary files.

        Raises:
            BarkError: No row can be generated.
        """

    def close(self) -> None:
        """Free the models."""


class LocalPool:
    """A `Pool` of one engine, with continuous batching.

    Args:
        settings: Settings of all rows.
        hardware: Further arguments of `Bark.load`.

    Raises:
        BarkError: The bundle cannot be loaded.
    """

    def __init__(self, settings: SpeakerSettings, **hardware: Any) -> None:
        self.settings = settings
        self._bark = Bark.load(
            settings.bundle, wait=False, max_batch_size=settings.concurrency, **hardware
        )
        info = self._bark.describe()
        self.provider, self.precision = info.provider, info.precision

    def speak(self, rows: Iterable[Row], on_row: OnRow, scratch: Path) -> None:
        """See `Pool`."""
        Speaker(self._bark, self.settings, scratch=scratch).speak(rows, on_row)

    def close(self) -> None:
        """See `Pool`."""
        self._bark.close()
