"""Provenance: how a sound was generated, as JSON that fits into its file.

The JSON is {"bark-onnx": {…}} with the fields of `Provenance` and its dataclasses by name. It has
no date, and no path but those of the request: the same request gives the same bytes.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from bark_onnx.graphs.files.dataclass_json import SchemaError, from_json_dict
from bark_onnx.runtime.options.stream import Setting
from bark_onnx.runtime.seeds import OLD_SEED_BITS

FORMAT = 3

_KEY = "bark-onnx"
_OLD_FORMATS = (1, 2)
# Names of format 1 that changed.
_FORMAT_1_KEYS = {"cast": "speakers", "piece": "segment", "reading": "stream"}
_FORMAT_1_STREAM = {
    "continuity": "history",
    "takes": "attempts",
    "stop_babble": "limit_duration",
    "peak": "normalize_peak",
}


@dataclass(frozen=True)
class BundleRef:
    """The bundle that generated a sound, and what it ran on."""

    path: str  # folder or hub id, as it was given
    source: str  # checkpoint named in the manifest
    precision: str
    fingerprint: str  # of the weights, the tokenizer and the checkpoint's generation settings
    sample_rate_hz: int  # of the codec
    provider: str  # name of the provider, as "cpu"
    onnxruntime: str  # version


@dataclass(frozen=True)
class VoiceRef:
    """The voice of a sound."""

    name: str  # in the bundle, or the path of an .npz file as it was given; may be empty
    sha256: str  # of the file, hexadecimal; empty for a voice given as arrays


@dataclass(frozen=True)
class Provenance:
    """How a sound was generated."""

    software: str  # name and version
    text: str | None  # the whole text; None if it was too long for the file
    seed: int  # of the whole text
    bundle: BundleRef
    voice: VoiceRef | None = None  # None: chosen by the model
    speakers: dict[str, VoiceRef | None] = field(default_factory=dict)  # voices by speaker
    generation: dict[str, Setting] = field(default_factory=dict)  # `GenerationOptions` that are set
    stream: dict[str, Setting] = field(default_factory=dict)  # `StreamOptions` that are not default
    sample_rate_hz: int | None = None  # of the file, if it was converted
    segment: int | None = None  # from 1, if the sound is only one segment of the text
    text_sha256: str | None = None  # of the text in UTF-8, hexadecimal, where `text` is None
    format: int = FORMAT

    def without_text(self) -> "Provenance":
        """A copy with the checksum of the text instead of the text."""
        digest = hashlib.sha256((self.text or "").encode()).hexdigest()
        return replace(self, text=None, text_sha256=digest)

    def to_json(self) -> str:
        """JSON on one line."""
        return json.dumps({_KEY: asdict(self)}, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Provenance | None":
        """Read the result of `to_json`, of this or an older version; None for other text.

        Raises:
            SchemaError: The JSON is damaged, or from a newer version.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            if text.lstrip().startswith(f'{{"{_KEY}"'):
                raise SchemaError("the JSON is cut off or altered") from None
            return None
        if not isinstance(data, dict) or _KEY not in data:
            return None
        provenance = from_json_dict(cls, _upgrade(data[_KEY]), _KEY)
        for name in _strings(asdict(replace(provenance, text=None))):
            if not name.isprintable():  # it could control the terminal it is printed on
                raise SchemaError(f"{name!r} is not printable; expected a name")
        return provenance


def _upgrade(data: Any) -> Any:
    """Parsed JSON in the current format."""
    if not isinstance(data, dict) or data.get("format") == FORMAT:
        return data
    if data.get("format") not in _OLD_FORMATS:
        raise SchemaError(f"format is {data.get('format')!r}, expected 1 to {FORMAT}")
    if data["format"] == 1:
        data = {_FORMAT_1_KEYS.get(key, key): value for key, value in data.items()}
    stream = data.get("stream")
    if isinstance(stream, dict):
        if data["format"] == 1:
            stream = {_FORMAT_1_STREAM.get(key, key): value for key, value in stream.items()}
        data = data | {"stream": stream | {"seed_bits": OLD_SEED_BITS}}
    return data | {"format": FORMAT}


def _strings(data: Any) -> Iterator[str]:
    """Keys and values of nested dicts."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from (key, *_strings(value))
    elif isinstance(data, str):
        yield data
