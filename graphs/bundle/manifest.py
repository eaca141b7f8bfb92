"""bark.json: contents of a bundle, its origin, and the layout of its folder.

Knows nothing of the contents of the files.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bark_onnx.graphs.contract import ATTENTIONS, CONTRACT_VERSION, Stage
from bark_onnx.graphs.errors import BundleError
from bark_onnx.graphs.files.dataclass_json import SchemaError, from_json_dict
from bark_onnx.graphs.generation_config import GenerationSettings
from bark_onnx.graphs.precisions import PRECISIONS
from bark_onnx.graphs.shapes import ModelShapes

FORMAT_VERSION = 1
MANIFEST_NAME = "bark.json"
TOKENIZER_NAME = "tokenizer.json"
VOICES_FOLDER = "voices"
PREFILL_SUFFIX = ".prefill.onnx"
EXPORT_AGAIN = "export or download the bundle again"


@dataclass(frozen=True)
class FileRecord:
    """Size and checksum of one file."""

    size: int  # bytes
    sha256: str  # lower-case hexadecimal


@dataclass(frozen=True)
class ParityCase:
    """One comparison of a graph with its torch module."""

    case: str  # shapes of the inputs
    largest_difference: float  # over all output values
    tolerance: float


@dataclass(frozen=True)
class PrecisionError:
    """Distance of the logits of a lower precision from those of float32, on random tokens."""

    relative_logit_error: float  # norm of the difference divided by norm of the logits
    equal_argmax_share: float  # share of positions with the same most probable token
    kl_divergence: float  # nats, of the sampled distributions, temperature included

    def __str__(self) -> str:
        return (
            f"logits {self.relative_logit_error:.2%} from fp32, same most probable token in "
            f"{self.equal_argmax_share:.1%}, KL divergence {self.kl_divergence:.4f}"
        )


@dataclass(frozen=True)
class Manifest:
    """Contents of bark.json."""

    source: str  # hub id, folder (with additions from elsewhere), or "demo"
    exporter: str  # program and version that wrote the bundle
    attention: str  # "fused" or "standard"
    precisions: tuple[str, ...]  # one folder of graphs each
    opset: int  # ai.onnx opset of all graphs except the codec
    codec_opset: int
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
            data = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise BundleError(
                f"{folder}: no {MANIFEST_NAME}, so this is not a bundle; export one with: "
                f"bark-export suno/bark-small {folder}"
            ) from error
        except NotADirectoryError as error:
            raise BundleError(f"{folder} is a file; expected the folder of a bundle") from error
        except (OSError, ValueError) as error:
            raise BundleError(f"{path}: not readable as JSON ({error}); {EXPORT_AGAIN}") from error
        _check_versions(path, data)
        try:
            manifest = from_json_dict(cls, data, MANIFEST_NAME)
            _check_values(manifest)
        except SchemaError as error:
            raise BundleError(f"{path}: {error}; {EXPORT_AGAIN}") from error
        return manifest

    def graph_path(self, precision: str, stage: Stage) -> str:
        """Path of a graph in the bundle."""
        return f"{precision}/{stage}.onnx"

    def prefill_graph_path(self, precision: str, stage: Stage) -> str | None:
        """Path of a causal stage's prefill graph; None if its one graph also prefills."""
        stem = f"{precision}/{stage}"
        # Bundles of earlier versions have the second name.
        names = (f"{stem}{PREFILL_SUFFIX}", f"{stem}.prompt.onnx")
        return next((name for name in names if name in self.files), None)

    def stage_files(self, precision: str, stage: Stage) -> list[str]:
        """All files of a stage: its graph, its prefill graph if it has one, and their weights."""
        graph, prefill = (
            self.graph_path(precision, stage),
            self.prefill_graph_path(precision, stage),
        )
        graphs = [graph] if prefill is None else [graph, prefill]
        names = [name for path in graphs for name in (path, f"{path}.data")]
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


def _check_values(manifest: Manifest) -> None:
    if manifest.attention not in ATTENTIONS:
        raise SchemaError(f"attention is {manifest.attention!r}, expected one of {ATTENTIONS}")
    if not manifest.precisions or not set(manifest.precisions) <= set(PRECISIONS):
        raise SchemaError(
            f"precisions is {list(manifest.precisions)!r}, expected some of {list(PRECISIONS)}"
        )
    for name in manifest.files:
        if not name.isprintable():
            raise SchemaError(f"files: found {name!r}, expected a printable path")


def _check_versions(path: Path, data: object) -> None:
    if not isinstance(data, dict):
        raise BundleError(f"{path}: found a {type(data).__name__}, expected a JSON object")
    for key, ours in (("format_version", FORMAT_VERSION), ("contract_version", CONTRACT_VERSION)):
        found = data.get(key)
        if found != ours:
            newer = isinstance(found, int) and found > ours
            remedy = "update bark-onnx" if newer else "export the checkpoint again"
            raise BundleError(f"{path}: {key} is {found!r}, expected {ours}; {remedy}")


def voice_file(name: str) -> str:
    """Path of a voice in the bundle."""
    return f"{VOICES_FOLDER}/{name}.npz"
