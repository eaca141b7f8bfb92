"""Provenance: how a sound was made, as JSON that fits into its file.

The JSON is {"bark-onnx": {…}} with the fields of `Provenance` and its dataclasses by name. It holds
no date, and no path but those of the request: the same request gives the same bytes.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace

from bark_onnx.graphs.bundle.dataclass_json import SchemaError, from_json_dict
from bark_onnx.runtime.provenance.tags import MOST_BYTES, MOST_BYTES_ELSEWHERE, Tags
from bark_onnx.runtime.text.terminal import excerpt

FORMAT = 1

_KEY = "bark-onnx"
_TITLE_CHARACTERS = 80

Setting = bool | int | float | str


@dataclass(frozen=True)
class BundleRef:
    """What spoke."""

    path: str  # folder or hub id, as it was given
    source: str  # the checkpoint, as the manifest names it
    precision: str
    fingerprint: str  # of the weights, the tokenizer and the checkpoint's generation settings
    sample_rate_hz: int  # of what it says
    provider: str  # what it ran on: "cpu" or "cuda"
    onnxruntime: str  # version


@dataclass(frozen=True)
class VoiceRef:
    """Whose voice it was."""

    name: str  # in the bundle, or the path of an .npz file as it was given; may be empty
    sha256: str  # of the file, hexadecimal; empty for a voice that was given as arrays


@dataclass(frozen=True)
class Provenance:
    """How a sound was made."""

    software: str  # name and version
    text: str | None  # all of it; None where it was too long for the file
    seed: int  # of the whole
    bundle: BundleRef
    voice: VoiceRef | None = None  # None: the model chose
    speakers: dict[str, VoiceRef | None] = field(default_factory=dict)  # voices by speaker
    generation: dict[str, Setting] = field(default_factory=dict)  # `GenerationOptions` that are set
    # Keywords of `Bark.stream` that are not at their defaults.
    stream: dict[str, Setting] = field(default_factory=dict)
    sample_rate_hz: int | None = None  # of the file, where it was converted
    segment: int | None = None  # of the whole, from 1, where the sound is only that
    text_sha256: str | None = None  # of the text in UTF-8, hexadecimal, where that is left out
    format: int = FORMAT

    def without_text(self) -> "Provenance":
        """A copy that tells the text only by its checksum."""
        digest = hashlib.sha256((self.text or "").encode()).hexdigest()
        return replace(self, text=None, text_sha256=digest)

    def to_tags(self, audio_format: str, sample_rate_hz: int) -> Tags:
        """What a file says of itself; a text that is too long for its format is left out."""
        is_converted = sample_rate_hz != self.bundle.sample_rate_hz
        told = replace(self, sample_rate_hz=sample_rate_hz if is_converted else None)
        comment = told.to_json()
        if len(comment.encode()) > MOST_BYTES.get(audio_format, MOST_BYTES_ELSEWHERE):
            comment = told.without_text().to_json()
        voices = dict.fromkeys(
            voice.name for voice in (self.voice, *self.speakers.values()) if voice and voice.name
        )
        title = excerpt(self.text or "", _TITLE_CHARACTERS)
        return Tags(title, ", ".join(voices), self.software, comment)

    def to_json(self) -> str:
        """As one line."""
        return json.dumps({_KEY: asdict(self)}, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Provenance | None":
        """Read what `to_json` wrote; None for a text that is something else.

        Raises:
            RecordError: it is damaged, or of another version.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            if text.lstrip().startswith(f'{{"{_KEY}"'):
                raise SchemaError("the JSON is cut off or altered") from None
            return None
        if not isinstance(data, dict) or _KEY not in data:
            return None
        fields = data[_KEY]
        if isinstance(fields, dict) and fields.get("format") != FORMAT:
            raise SchemaError(f"format is {fields.get('format')!r}, expected {FORMAT}")
        provenance = from_json_dict(cls, fields, _KEY)
        _check_names(provenance)
        return provenance


def _check_names(provenance: Provenance) -> None:
    """Refuse names that would do something to a terminal they are printed on."""
    voices = [provenance.voice, *provenance.speakers.values()]
    values = [*provenance.generation.values(), *provenance.stream.values()]
    names = [
        *(provenance.software, *map(str, asdict(provenance.bundle).values())),
        *(name for voice in voices if voice for name in (voice.name, voice.sha256)),
        *(
            *provenance.speakers,
            *provenance.generation,
            *provenance.stream,
            provenance.text_sha256 or "",
        ),
        *(value for value in values if isinstance(value, str)),
    ]
    for name in names:
        if not name.isprintable():
            raise SchemaError(f"{name!r} is no name")
