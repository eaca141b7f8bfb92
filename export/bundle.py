"""Writes bundles, completely or not at all."""

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import onnx_ir as ir

from bark_onnx.export.checkpoints.checkpoint import Checkpoint
from bark_onnx.export.checkpoints.voices import convert_voices
from bark_onnx.export.parity import compare_stage
from bark_onnx.export.precision_error import compare_precision
from bark_onnx.export.quantize import quantize_stage
from bark_onnx.export.tokenizer_graph.comparison import compare_tokenizer, custom_operators
from bark_onnx.export.tokenizer_graph.graph import build_graph
from bark_onnx.export.tokenizer_graph.rules import read_rules
from bark_onnx.export.trace import CODEC_OPSET, OPSET, save_graph, trace_stage
from bark_onnx.graphs.bundle.integrity import hash_file
from bark_onnx.graphs.bundle.manifest import (
    MANIFEST_NAME,
    TOKENIZER_GRAPH_NAME,
    TOKENIZER_NAME,
    VOICES_FOLDER,
    WORDS_NAME,
    FileRecord,
    Manifest,
    ParityCase,
    PrecisionError,
)
from bark_onnx.graphs.bundle.words import read_words
from bark_onnx.graphs.contract import STAGES, Attention, graph_contract
from bark_onnx.graphs.errors import CheckpointError, ExportError, system_reason
from bark_onnx.graphs.files.atomic_write import atomic_folder
from bark_onnx.graphs.precisions import PRECISIONS, float_dtype

_FP32 = "fp32"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class ExportOptions:
    """Contents of a bundle."""

    attention: Attention = "fused"
    precisions: tuple[str, ...] = ("fp32",)
    voices: str = "all"  # "all", "none", or names separated by commas
    verify: bool = True  # compares each graph with its torch module
    tokenizer_graph: bool = False  # writes tokenizer.onnx, too


def export_bundle(
    checkpoint: Checkpoint, target: Path, options: ExportOptions, *, force: bool, progress: Progress
) -> Manifest:
    """Export a checkpoint, with one sub-model in memory at a time.

    Args:
        checkpoint: Checkpoint to export.
        target: Folder of the bundle, which appears when all files are written.
        options: Contents of the bundle.
        force: Replaces an existing bundle.
        progress: Callback that receives one line per step.

    Raises:
        BarkError: The checkpoint is unusable, a graph is wrong, or the folder cannot be written.
    """
    with atomic_directory(target, force=force) as folder:
        checkpoint.read_tokenizer().save(str(folder / TOKENIZER_NAME))
        if options.tokenizer_graph:
            _export_tokenizer(checkpoint, folder, options, progress)
        names = convert_voices(checkpoint, options.voices, folder / VOICES_FOLDER)
        _copy_words(checkpoint.folder / WORDS_NAME, folder / WORDS_NAME)
        progress(f"tokenizer and {len(names)} {'voice' if len(names) == 1 else 'voices'}")
        parity = _export_graphs(checkpoint, folder, options, progress)
        errors = _export_precisions(checkpoint, folder, options, progress)
        progress("checksums")
        manifest = Manifest(
            # A path that is not valid Unicode could not be read back.
            source=checkpoint.source.encode("utf-8", "backslashreplace").decode(),
            exporter=f"bark-onnx {version('bark-onnx')}",
            attention=options.attention,
            precisions=options.precisions,
            opset=OPSET,
            codec_opset=CODEC_OPSET,
            shapes=checkpoint.shapes,
            generation=checkpoint.generation,
            files=_record_files(folder),
            parity=parity,
            precision_errors=errors,
        )
        (folder / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
        Manifest.read(folder)  # nothing is exported that cannot be loaded
    return manifest


def _export_tokenizer(
    checkpoint: Checkpoint, folder: Path, options: ExportOptions, progress: Progress
) -> None:
    if options.verify:
        custom_operators()  # fails before the work if they are missing
    progress("tokenizer: writing its graph")
    tokenizer, settings = checkpoint.read_tokenizer(), checkpoint.generation.semantic
    rules = read_rules(tokenizer, checkpoint.source)
    path = folder / TOKENIZER_GRAPH_NAME
    ir.save(build_graph(rules, settings, checkpoint.shapes.semantic), path)
    if options.verify:
        progress("tokenizer: comparing its graph with tokenizer.json")
        compare_tokenizer(tokenizer, rules, settings, path)


def _copy_words(source: Path, target: Path) -> None:
    if source.exists():
        read_words(source, CheckpointError, remedy="correct the file, or download it again")
        shutil.copyfile(source, target)


def _export_graphs(
    checkpoint: Checkpoint, folder: Path, options: ExportOptions, progress: Progress
) -> dict[str, tuple[ParityCase, ...]]:
    parity: dict[str, tuple[ParityCase, ...]] = {}
    (folder / _FP32).mkdir()
    for stage in STAGES:
        path = folder / _FP32 / f"{stage}.onnx"
        with checkpoint.sub_model(stage) as model:
            progress(f"{stage}: tracing")
            graph = trace_stage(checkpoint, stage, model, options.attention)
            progress(f"{stage}: writing")
            save_graph(graph, path)
            del graph
            if options.verify:
                progress(f"{stage}: comparing with torch")
                cases = compare_stage(checkpoint, stage, model, path, options.attention)
                parity[f"{_FP32}/{stage}"] = cases
    return parity


def _export_precisions(
    checkpoint: Checkpoint, folder: Path, options: ExportOptions, progress: Progress
) -> dict[str, PrecisionError]:
    """Convert the float32 graphs, then remove them unless fp32 is among the precisions."""
    errors: dict[str, PrecisionError] = {}
    for precision in options.precisions:
        if precision == _FP32:
            continue
        (folder / precision).mkdir()
        for stage in STAGES:
            source, target = (folder / name / f"{stage}.onnx" for name in (_FP32, precision))
            stage_precision = PRECISIONS[precision].get(stage)
            if stage_precision is None:
                shutil.copyfile(source, target)
                shutil.copyfile(f"{source}.data", f"{target}.data")
                continue
            progress(f"{stage}: {precision}")
            contract = graph_contract(
                stage,
                checkpoint.shapes,
                options.attention,
                float_dtype=float_dtype(precision),
            )
            quantize_stage(source, target, stage_precision, contract, checkpoint.shapes)
            if options.verify:
                error = compare_precision(checkpoint, stage, source, target)
                errors[f"{precision}/{stage}"] = error
    if _FP32 not in options.precisions:
        shutil.rmtree(folder / _FP32)
    return errors


def _record_files(folder: Path) -> dict[str, FileRecord]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hash_file(path) for path in paths}


@contextmanager
def atomic_directory(
    target: Path, *, force: bool, what: str = "bundle", main_file: str = MANIFEST_NAME
) -> Iterator[Path]:
    """Yield a temporary folder, which replaces `target` after a successful `with` block.

    Args:
        target: Folder to write.
        force: Replaces one that was written before.
        what: Content of the folder, for messages.
        main_file: File by which such a folder is known.

    Raises:
        ExportError: `target` may not be replaced, or cannot be written.
    """
    try:
        _check_target(target, what, main_file, force=force)
        with atomic_folder(target) as folder:
            yield folder
    except OSError as error:
        remedy = "free some space" if error.errno == errno.ENOSPC else "choose another folder"
        raise ExportError(
            f"{target}: cannot be written ({system_reason(error)}); "
            f"{remedy} and export again, nothing was left behind"
        ) from error


def _check_target(target: Path, what: str, main_file: str, *, force: bool) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise ExportError(f"{target} is a file; expected a folder that does not exist yet")
    if not any(target.iterdir()):
        return
    if not (target / main_file).is_file():
        raise ExportError(
            f"{target} is a folder with other files; choose one that does not exist yet"
        )
    if not force:
        raise ExportError(f"{target} already holds a {what}; give --force to replace it")
