"""A voice's file at one moment: whatever is told of it is told of the same bytes."""

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bark_onnx.graphs.errors import VoiceError
from bark_onnx.graphs.voice_arrays import read_contents, read_npz


@dataclass(frozen=True)
class VoiceFile:
    """An .npz file. Knows nothing of what a voice is."""

    path: Path
    contents: bytes = field(repr=False)

    @classmethod
    def read(cls, path: str | Path) -> "VoiceFile":
        """Read a file once.

        Raises:
            VoiceError: it is not there, cannot be read, or is huge.
        """
        path = Path(path)
        try:
            with path.open("rb") as file:
                return cls(path, read_contents(file, name=str(path)))
        except FileNotFoundError as error:
            raise VoiceError(f"{path}: no such file; expected a voice as .npz") from error
        except (OSError, ValueError) as error:
            raise VoiceError(f"{path}: not a voice: {error}") from error

    @property
    def sha256(self) -> str:
        """Checksum of the contents, hexadecimal."""
        return hashlib.sha256(self.contents).hexdigest()

    def arrays(self, keys: Iterable[str]) -> dict[str, Any]:
        """Those of the arrays `keys` that the file has.

        Raises:
            VoiceError: it is no .npz file, or unpacks to something huge.
        """
        return read_npz(io.BytesIO(self.contents), keys, name=str(self.path))
