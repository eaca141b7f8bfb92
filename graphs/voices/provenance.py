"""How a voice came about: a note that lies beside the arrays in its file.

Stored as an array of bytes: transformers turns every array of a voice's file into a tensor, which
text cannot become, and an object array would be a pickle.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.bundle.dataclass_json import SchemaError, from_json_dict
from bark_onnx.graphs.errors import VoiceError

ORIGIN_KEY = "origin_json"


@dataclass(frozen=True)
class VoiceProvenance:
    """How a voice came about. What is not known is empty."""

    text: str = ""  # what was said
    seed: int | None = None  # says it again
    software: str = ""  # program and version
    checkpoint: str = ""  # hub id or folder that the bundle was made from
    voice: str = ""  # that it was spoken with

    def to_array(self) -> NDArray[np.uint8]:
        """JSON as bytes, uint8 (n,)."""
        return np.frombuffer(json.dumps(asdict(self)).encode("ascii"), np.uint8)

    @classmethod
    def from_array(cls, array: Any, where: str) -> "VoiceProvenance":
        """Read what `to_array` made. Keys that a later version may have added are left out.

        Raises:
            VoiceError: it is something else; `where` names the voice.
        """
        try:
            array = np.asarray(array)
            if array.dtype != np.uint8 or array.ndim != 1:
                raise SchemaError(f"{array.dtype} {array.shape}, expected uint8 (n,)")
            data = json.loads(array.tobytes())
            if not isinstance(data, Mapping):
                raise SchemaError(f"found a {type(data).__name__}, expected an object")
            names = {field.name for field in fields(cls)}
            return from_json_dict(cls, {key: data[key] for key in names & set(data)}, ORIGIN_KEY)
        except (ValueError, RecursionError) as error:
            reason = " ".join(str(error).split())
            raise VoiceError(
                f"{where}: {ORIGIN_KEY} is malformed ({reason}); save the voice without it"
            ) from error


def software_version() -> str:
    """Name and version of this program."""
    return f"bark-onnx {version('bark-onnx')}"
