"""Provenance of a voice, stored beside the arrays in its file.

Stored as an array of bytes: transformers converts every array of a voice's file to a tensor, which
excludes text, and an object array would be a pickle.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.errors import VoiceError
from bark_onnx.graphs.files.dataclass_json import SchemaError, from_json_dict, parse_json, shown

PROVENANCE_KEY = "provenance_json"
OLD_KEY = "origin_json"  # of files written before 0.1.0


@dataclass(frozen=True)
class VoiceProvenance:
    """How a voice was generated. Unknown values are empty."""

    text: str = ""  # text of the speech
    seed: int | None = None  # seed of the speech
    software: str = ""  # program and version
    checkpoint: str = ""  # hub id or folder that was exported to the bundle
    voice: str = ""  # voice of the speech

    def to_array(self) -> NDArray[np.uint8]:
        """JSON as bytes, uint8 (n,)."""
        return np.frombuffer(json.dumps(asdict(self)).encode("ascii"), np.uint8)

    @classmethod
    def from_array(cls, array: Any, where: str) -> "VoiceProvenance":
        """Read the result of `to_array`. Unknown keys, as of later versions, are ignored.

        Args:
            array: Array of a voice's file.
            where: Name of the array and its voice, for messages.

        Raises:
            VoiceError: The array holds something else.
        """
        try:
            array = np.asarray(array)
            if array.dtype != np.uint8 or array.ndim != 1:
                raise SchemaError(f"{array.dtype} {array.shape}, expected uint8 (n,)")
            data = parse_json(array.tobytes())
            if not isinstance(data, Mapping):
                raise SchemaError(f"the JSON is {shown(data)}, expected an object")
            names = {field.name for field in fields(cls)}
            return from_json_dict(cls, {key: data[key] for key in names & set(data)})
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise VoiceError(
                f"{where} is malformed ({reason}); save the voice without it"
            ) from error


def software_version() -> str:
    """Name and version of this program."""
    return f"bark-onnx {version('bark-onnx')}"
