"""bark.json: what is in a bundle, where it came from, and how to tell that it is whole.

Knows the folder's layout and nothing of what the files contain.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bark_onnx.graphs.bundle.dataclass_json import SchemaError, from_json_dict
from bark_onnx.graphs.contract import ATTENTIONS, CONTRACT_VERSION, Stage
from bark_onnx.graphs.errors import BundleError
from bark_onnx.graphs.generation_config import GenerationSettings
from bark_onnx.graphs.precisions import PRECISIONS
from bark_onnx.graphs.shapes import ModelShapes

FORMAT_VERSION = 1
MANIFEST_NAME = "bark.json"
TOKENIZER_NAME = "tokenizer.json"
VOICES_FOLDER = "voices"

_EXPORT_AGAIN = "export or download the bundle again"


@dataclass(frozen=True)
class FileRecord:
    """What a file must be."""

    size: int  # bytes
    sha256: str  # lower-case hexadecimal


@dataclass(frozen=True)
class ParityCase:
    """One comparison of a graph with the torch module it came from."""

    case: str  # shapes of the inputs
    largest_difference: float  # of any output value
    tolerance: float


@dataclass(frozen=True)
class PrecisionError:
    """How far the logits of a lower precision are from those of float32, on random tokens."""

    relative_logit_error: float  # norm of the difference over norm of the logits
    equal_argmax_share: float  # of positions where the most probable token is the same
    kl_divergence: float  # nats, of the distributions that are sampled from, at the temperature

    def __str__(self) -> str:
        return (
            f"logits {self.relative_logit_error:.2%} from fp32, same most probable token in "
            f"{self.equal_argmax_share:.1%}, KL divergence {self.kl_divergence:.4f}"
        )


def prefill_graph(graph: Path) -> Path:
    """Where the graph lies that serves prompts, if another than `graph` does."""
    return graph.with_suffix(".prompt.onnx")


@dataclass(frozen=True)
class Manifest:
    """Contents of bark.json."""

    source: str  # hub id, folder with what was taken from elsewhere, or "demo"
    exporter: str  # program and version that wrote the bundle
    attention: str  # "fused" or "standard"
    precisions: tuple[str, ...]  # a folder of graphs each
    opset: int  # of ai.onnx, in every graph but the codec's
    codec_opset: int
    shapes: ModelShapes
    generation: GenerationSettings
    files: dict[str, FileRecord]  # by path relative to the bundle, with forward slashes
    parity: dict[str, tuple[ParityCase, ...]] = field(default_factory=dict)  # by "precision/stage"
    precision_errors: dict[str, PrecisionError] = field(default_factory=dict)  # likewise
    format_version: int = FORMAT_VERSION
    contract_version: int = CONTRACT_VERSION

    def to_json(self) -> str:
        """The text of bark.json."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read the bark.json of a bundle.

        Raises:
            BundleError: it is missing, malformed, or of another version.
        """
        path = folder / MANIFEST_NAME
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise BundleError(
                f"{folder}: no {MANIFEST_NAME}, so this is no bundle; make one with: "
                f"bark-export suno/bark-small {folder}"
            ) from error
        except NotADirectoryError as error:
            raise BundleError(f"{folder} is a file; expected the folder of a bundle") from error
        except (OSError, ValueError) as error:
            raise BundleError(f"{path}: not readable as JSON ({error}); {_EXPORT_AGAIN}") from error
        _check_versions(path, data)
        try:
            manifest = from_json_dict(cls, data, MANIFEST_NAME)
            _check_values(manifest)
        except SchemaError as error:
            raise BundleError(f"{path}: {error}; {_EXPORT_AGAIN}") from error
        return manifest

    def graph_path(self, precision: str, stage: Stage) -> str:
        """Path of a graph relative to the bundle."""
        return f"{precision}/{stage}.onnx"

    def stage_files(self, precision: str, stage: Stage) -> list[str]:
        """All files of a stage: its graph, where there is one its prompt's graph, their weights."""
        graph = self.graph_path(precision, stage)
        prompt = prefill_graph(Path(graph)).as_posix()
        names = (graph, f"{graph}.data", prompt, f"{prompt}.data")
        return [name for name in names if name in self.files]

    def fingerprint(self, precision: str) -> str:
        """What tells bundles apart that speak differently: 16 hexadecimal digits.

        Of the precision's graphs and weights, the tokenizer and the generation settings; bundles
        that differ in voices or in other precisions only have the same.
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
            raise SchemaError(f"files: {name!r} is no file name, expected a path")


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
    """Path of a voice relative to the bundle."""
    return f"{VOICES_FOLDER}/{name}.npz"


def hash_file(path: Path) -> FileRecord:
    """Size and checksum of a file as it is now."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileRecord(path.stat().st_size, digest)


def check_sizes(folder: Path, files: dict[str, FileRecord]) -> None:
    """Check that every file of a bundle is there, with the size it should have.

    Raises:
        BundleError: a file is missing, leaves the folder, or is truncated.
    """
    for name, record in files.items():
        path = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise BundleError(f"{folder / MANIFEST_NAME}: file {name!r} lies outside the bundle")
        try:
            size = path.stat().st_size
        except OSError as error:
            raise BundleError(f"{path} is missing; {_EXPORT_AGAIN}") from error
        if size != record.size:
            raise BundleError(
                f"{path}: found {size} bytes, expected {record.size}; {_EXPORT_AGAIN}"
            )


def check_contents(folder: Path, files: dict[str, FileRecord], names: Iterable[str]) -> None:
    """Check that files of a bundle are, byte for byte, what its exporter wrote.

    Raises:
        BundleError: a file has been altered or is not listed.
    """
    for name in names:
        if name not in files:
            raise BundleError(f"{folder / MANIFEST_NAME} does not list {name}; {_EXPORT_AGAIN}")
        check_sha256(folder / name, hash_file(folder / name).sha256, files[name])


def check_sha256(path: Path, found: str, record: FileRecord) -> None:
    """Check that the checksum of a file's contents is that of its record.

    Raises:
        BundleError: the file has been altered.
    """
    if found != record.sha256:
        raise BundleError(
            f"{path}: found sha256 {found[:12]}…, expected {record.sha256[:12]}…; "
            f"the file was altered, {_EXPORT_AGAIN}"
        )
