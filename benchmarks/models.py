"""Checkpoints of full size with random weights and their exports, cached in build/benchmarks/.

Random weights need the same time and memory as trained ones.
"""

import shutil
from pathlib import Path
from typing import Any

import click

from bark_onnx.graphs.bundle.manifest import Manifest
from bark_onnx.graphs.contract import CONTRACT_VERSION, Attention
from bark_onnx.graphs.errors import BundleError

FOLDER = Path(__file__).parents[1] / "build" / "benchmarks"
_TEXT_VOCABULARY = 119_547  # bert-base-multilingual-cased
_FULL: dict[str, Any] = {
    "text_vocabulary": _TEXT_VOCABULARY,
    "codec": {},
    "max_new_tokens": 768,
}
# `heads-of-64` is as tiny and takes the kernels of real checkpoints; the layers of the others take
# as many calls as those of real ones, and little time.
SIZES: dict[str, dict[str, Any]] = {
    "tiny": {},
    "heads-of-64": {"hidden_size": 128},
    "12-layers": {"num_layers": 12, "hidden_size": 128, **_FULL},
    "24-layers": {"num_layers": 24, "hidden_size": 128, **_FULL},
    "bark-small": {"num_layers": 12, "num_heads": 12, "hidden_size": 768, **_FULL},
    "bark": {"num_layers": 24, "num_heads": 16, "hidden_size": 1024, **_FULL},
}

size_option = click.option(
    "--size", type=click.Choice(list(SIZES)), default="bark-small", show_default=True
)


def checkpoint_folder(size: str) -> Path:
    """Folder of a checkpoint of one size, written on first use."""
    folder = FOLDER / f"{size}-checkpoint"
    if not (folder / "speaker_embeddings_path.json").is_file():
        click.echo(f"writing a {size} checkpoint with random weights", err=True)
        shutil.rmtree(folder, ignore_errors=True)
        # Imported here: engines that do not need torch are measured without it.
        from bark_onnx.export.random_bark import RandomBark, write_checkpoint

        write_checkpoint(folder, RandomBark(**SIZES[size]))
    return folder


def bundle_folder(
    size: str,
    precisions: tuple[str, ...] = ("fp32",),
    *,
    verify: bool = False,
    attention: Attention = "fused",
) -> Path:
    """Folder of a bundle of one size with at least these precisions, exported on first use."""
    target = FOLDER / (f"{size}-onnx" if attention == "fused" else f"{size}-{attention}-onnx")
    try:
        manifest = Manifest.read(target)
    except BundleError:
        present: tuple[str, ...] = ()
    else:
        compared = {name.split("/")[0] for name in manifest.precision_errors} | {"fp32"}
        present = manifest.precisions
        has_draws = attention != "fused" or manifest.draw_graph_path("fp16", "fine") is not None
        is_current = manifest.contract_version == CONTRACT_VERSION
        is_current = is_current and (has_draws or "fp16" not in present)
        if is_current and set(precisions) <= (compared if verify else set(present)):
            return target
    click.echo(f"exporting {size} to {target.name}", err=True)
    all_precisions = tuple(dict.fromkeys([*present, *precisions]))
    return export_checkpoint(
        checkpoint_folder(size), target, all_precisions, verify=verify, attention=attention
    )


def export_checkpoint(
    checkpoint: Path,
    target: Path,
    precisions: tuple[str, ...],
    *,
    verify: bool = False,
    attention: Attention = "fused",
) -> Path:
    """Export a checkpoint, always with fp32, and replace the target."""
    from bark_onnx.export.bundle import ExportOptions, export_bundle
    from bark_onnx.export.checkpoints.checkpoint import open_checkpoint

    export_bundle(
        open_checkpoint(str(checkpoint)),
        target,
        ExportOptions(
            precisions=tuple(dict.fromkeys(["fp32", *precisions])),
            verify=verify,
            attention=attention,
        ),
        force=True,
        progress=lambda step: click.echo(step, err=True),
    )
    return target


def openvino_folder(size: str, precision: str) -> Path:
    """Folder of OpenVINO models of one size in "f32", "bf16" or "int8", converted on first use."""
    folder = FOLDER / f"{size}-openvino-{precision}"
    if not (folder / "codec.xml").is_file():
        click.echo(f"converting {size} to {folder.name}", err=True)
        shutil.rmtree(folder, ignore_errors=True)
        from openvino_models import write_models

        write_models(checkpoint_folder(size), bundle_folder(size), folder, precision)
    return folder
