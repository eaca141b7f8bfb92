"""What all sounds of a folder have in common: a batch that is resumed has to have the same."""

import dataclasses
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.errors import BatchError
from bark_onnx.graphs.files.atomic_write import atomic_write, wrap_os_errors
from bark_onnx.graphs.files.dataclass_json import SchemaError, from_json_dict, load_json
from bark_onnx.runtime.batch.speaker import SpeakerSettings
from bark_onnx.runtime.options.stream import Setting

FORMAT = 1
_REMEDY = "choose another folder, or repeat the settings"


@dataclass(frozen=True)
class BatchSettings:
    """Settings that determine the sound of every row, and how it is written."""

    fingerprint: str  # of the bundle in that precision
    precision: str
    provider: str
    audio_format: str
    sample_rate_hz: int
    metadata: bool  # whether files have their provenance
    generation: dict[str, Setting] = field(default_factory=dict)  # options that are set
    stream: dict[str, Setting] = field(default_factory=dict)  # options that are not default
    format: int = FORMAT

    @classmethod
    def of(
        cls, bundle: Bundle, speaker: SpeakerSettings, *, precision: str, provider: str
    ) -> "BatchSettings":
        """The settings of a run."""
        generation = asdict(speaker.generation)
        return cls(
            fingerprint=bundle.manifest.fingerprint(precision),
            precision=precision,
            provider=provider,
            audio_format=speaker.audio_format,
            sample_rate_hz=speaker.sample_rate_hz,
            metadata=speaker.metadata,
            generation={name: value for name, value in generation.items() if value is not None},
            stream=speaker.stream.non_default(),
        )

    def keep(self, path: Path, folder: Path) -> None:
        """Write the settings if the folder has none, or compare them with those that it has.

        Raises:
            BatchError: They differ, or the file cannot be read or written.
        """
        try:
            former = from_json_dict(
                BatchSettings, load_json(path, BatchError, remedy="choose another folder")
            )
        except FileNotFoundError:
            with (
                wrap_os_errors(BatchError, f"{path}: cannot be written"),
                atomic_write(path) as new,
            ):
                new.write(f"{json.dumps(asdict(self), indent=2)}\n".encode())
        except SchemaError as error:
            raise BatchError(f"{path}: {error}; it is damaged; choose another folder") from error
        else:
            self._compare(former, folder)

    def _compare(self, former: "BatchSettings", folder: Path) -> None:
        for each in dataclasses.fields(self):
            before, now = getattr(former, each.name), getattr(self, each.name)
            if before == now:
                continue
            name = each.name
            if isinstance(now, dict):
                name = min(key for key in {*before, *now} if before.get(key) != now.get(key))
                before, now = before.get(name, "the default"), now.get(name, "the default")
            raise BatchError(
                f"{folder} was begun with {_NAMES.get(name, name)} {before}, found {now}; {_REMEDY}"
            )


_NAMES = {
    "fingerprint": "the bundle",
    "audio_format": "the format",
    "sample_rate_hz": "the sample rate",
    "format": "the version of batches",
}
