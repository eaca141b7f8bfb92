"""bark.json: contents of a bundle, its origin, and the layout of its folder.

Knows nothing of the contents of the files.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

from bark_onnx.graphs.bundle.consistency import check_settings, check_shapes
from bark_onnx.graphs.contract import (
    ATTENTIONS,
    CONTRACT_VERSION,
    OLDEST_CONTRACT_VERSION,
    Stage,
)
from bark_onnx.graphs.errors import BundleError
from bark_onnx.graphs.files.dataclass_json import (
    SchemaError,
    from_json_dict,
    join,
    load_json,
    shown,
)
from bark_onnx.graphs.generation_config import GenerationSettings
from bark_onnx.graphs.precisions import PRECISIONS
from bark_onnx.graphs.ranges import Between
from bark_onnx.graphs.shapes import ModelShapes

FORMAT_VERSION = 1
MANIFEST_NAME = "bark.json"
TOKENIZER_NAME = "tokenizer.json"
TOKENIZER_GRAPH_NAME = "tokenizer.onnx"  # of an export with --tokenizer-graph
WORDS_NAME = "words.txt"  # of a checkpoint that knows few words, one a line
VOICES_FOLDER = "voices"
PREFILL_SUFFIX = ".prefill.onnx"
DRAW_SUFFIX = ".draw.onnx"
EXPORT_AGAIN = "export or download the bundle again"

_Difference = Annotated[float, Between(0.0, 1e20)]
_SHA256 = re.compile("[0-9a-f]{64}")
_Opset = Annotated[int, Between(1, 1000)]


@dataclass(frozen=True)
class FileRecord:
    """Size and checksum of one file."""

    size: Annotated[int, Between(0, 1 << 50)]  # bytes
    sha256: str  # lower-case hexadecimal


@dataclass(frozen=True)
class ParityCase:
    """One comparison of a graph with its torch module."""

    case: str  # shapes of the inputs
    largest_difference: _Difference  # over all output values
    tolerance: _Difference


@dataclass(frozen=True)
class PrecisionError:
    """Distance of the logits of a lower precision from those of float32, on random tokens."""

    relative_logit_error: _Difference  # norm of the difference divided by norm of the logits
    equal_argmax_share: Annotated[float, Between(0.0, 1.0)]  # positions, same most probable token
    kl_divergence: Annotated[float, Between(-0.5, 1e20)]  # nats; sampled, temperature included

    def __str__(self) -> str:
        return (
            f"logits {self.relative_logit_error:.2%} from fp32, same most probable token in "
            f"{self.equal_argmax_share:.1%}, KL divergence {self.kl_divergence:.4f}"
        )


@dataclass(frozen=True)
class Manifest:
    """Contents of bark.json."""

    source: str  # hub id, folder (with additions from elsewhere), or "demo" or "random"
    exporter: str  # program and version that wrote the bundle
    attention: str  # "fused" or "standard"
    precisions: tuple[str, ...]  # one folder of graphs each
    opset: _Opset  # ai.onnx opset of all graphs except the codec
    codec_opset: _Opset
    shapes: ModelShapes
    generation: GenerationSettings
    files: dict[str, FileRecord]  # by path in the bundle, with forward slashes
    parity: dict[str, tuple[ParityCase, ...]] = field(default_factory=dict)  # by "precision/stage"
    precision_errors: dict[str, PrecisionError] = field(default_factory=dict)  # by the same key
    format_version: int = FORMAT_VERSION
    contract_version: int = CONTRACT_VERSION

    def to_json(self) -> str:
        """The text of bark.json."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read the bark.json of a bundle.

        Raises:
            BundleError: The file is missing, malformed, or of another version.
        """
        path = folder / MANIFEST_NAME
        try:
            data = load_json(path, BundleError, remedy=EXPORT_AGAIN)
        except FileNotFoundError as error:
            raise BundleError(
                f"{folder}: no {MANIFEST_NAME}, so this is not a bundle; export one with: "
                f"bark-export suno/bark-small {folder}"
            ) from error
        except NotADirectoryError as error:
            raise BundleError(f"{folder} is a file; expected the folder of a bundle") from error
        _check_versions(path, data)
        try:
            manifest = from_json_dict(cls, data)
            manifest.check()
        except SchemaError as error:
            raise BundleError(f"{path}: {error}; {EXPORT_AGAIN}") from error
        return manifest

    def check(self) -> None:
        """Check what types and ranges leave open: known names, and numbers that fit each other.

        Raises:
            SchemaError: A value is one that no bundle has.
        """
        _check_names(self)
        check_settings(self.generation, "generation.")
        check_shapes(self.shapes, self.generation, "shapes.")

    def graph_path(self, precision: str, stage: Stage) -> str:
        """Path of a graph in the bundle."""
        return f"{precision}/{stage}.onnx"

    def prefill_graph_path(self, precision: str, stage: Stage) -> str | None:
        """Path of a causal stage's prefill graph; None if its one graph also prefills."""
        stem = f"{precision}/{stage}"
        # Bundles of earlier versions have the second name.
        names = (f"{stem}{PREFILL_SUFFIX}", f"{stem}.prompt.onnx")
        return next((name for name in names if name in self.files), None)

    def draw_graph_path(self, precision: str, stage: Stage) -> str | None:
        """Path of a stage's graph that returns what a draw needs; None if it has none."""
        name = f"{precision}/{stage}{DRAW_SUFFIX}"
        return name if name in self.files else None

    def stage_files(self, precision: str, stage: Stage) -> list[str]:
        """All files of a stage: its graphs, one to three, and their weights."""
        graphs = [
            self.graph_path(precision, stage),
            self.prefill_graph_path(precision, stage),
            self.draw_graph_path(precision, stage),
        ]
        names = [name for path in graphs if path for name in (path, f"{path}.data")]
        return [name for name in names if name in self.files]

    def fingerprint(self, precision: str) -> str:
        """Identifies what determines the generated speech: 16 hexadecimal digits.

        Covers the precision's graphs and weights, the tokenizer and the generation settings, and
        neither voices nor other precisions.
        """
        used = {
            name: record.sha256
            for name, record in self.files.items()
            if name == TOKENIZER_NAME or name.startswith(f"{precision}/")
        }
        text = json.dumps([used, asdict(self.generation)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _check_names(manifest: Manifest) -> None:
    if manifest.attention not in ATTENTIONS:
        raise SchemaError(
            f"is {shown(manifest.attention)}, expected one of {ATTENTIONS}", "attention"
        )
    if not manifest.precisions or not set(manifest.precisions) <= set(PRECISIONS):
        found = shown(list(manifest.precisions))
        raise SchemaError(f"is {found}, expected some of {list(PRECISIONS)}", "precisions")
    for name, record in manifest.files.items():
        if not name.isprintable():
            raise SchemaError(f"has {shown(name)}, expected a printable path", "files")
        if not _SHA256.fullmatch(record.sha256):
            found = shown(record.sha256)
            key = f"{join('files', name)}.sha256"
            raise SchemaError(f"is {found}, expected 64 hexadecimal digits", key)


def _check_versions(path: Path, data: object) -> None:
    if not isinstance(data, dict):
        raise BundleError(f"{path}: the JSON is {shown(data)}, expected an object; {EXPORT_AGAIN}")
    for key, oldest, newest in (
        ("format_version", FORMAT_VERSION, FORMAT_VERSION),
        ("contract_version", OLDEST_CONTRACT_VERSION, CONTRACT_VERSION),
    ):
        found = data.get(key)
        if found not in range(oldest, newest + 1):
            newer = isinstance(found, int) and found > newest
            remedy = "update bark-onnx" if newer else "export the checkpoint again"
            expected = newest if oldest == newest else f"{oldest} to {newest}"
            raise BundleError(f"{path}: {key} is {shown(found)}, expected {expected}; {remedy}")


def voice_file(name: str) -> str:
    """Path of a voice in the bundle."""
    return f"{VOICES_FOLDER}/{name}.npz"
