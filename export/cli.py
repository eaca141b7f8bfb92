"""bark-export: the command."""

import signal
import tempfile
import time
import types
from pathlib import Path
from typing import Any

import click

from bark_onnx.graphs.command import run_command
from bark_onnx.graphs.contract import ATTENTIONS, Attention
from bark_onnx.graphs.errors import ExportError
from bark_onnx.graphs.manifest import Manifest
from bark_onnx.graphs.precisions import PRECISIONS


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("source")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--precision",
    default="fp32",
    show_default=True,
    help=f"Precisions with commas between them: {', '.join(PRECISIONS)}.",
)
@click.option(
    "--attention",
    type=click.Choice(ATTENTIONS),
    default="fused",
    show_default=True,
    help="fused: in-place cache, for ONNX Runtime. standard: ai.onnx operators only.",
)
@click.option(
    "--voices",
    default="all",
    show_default=True,
    help="Voices of the checkpoint to convert: all, none, or names with commas between them.",
)
@click.option(
    "--verify/--no-verify", default=True, help="Compare every graph with PyTorch (default)."
)
@click.option("--force", is_flag=True, help="Replace a bundle that is there already.")
@click.version_option(package_name="bark-onnx")
def command(
    source: str,
    bundle: Path,
    precision: str,
    attention: Attention,
    voices: str,
    verify: bool,
    force: bool,
) -> None:
    """Export a Bark checkpoint to a BUNDLE of ONNX graphs that speaks without PyTorch.

    SOURCE is a hub id, a local folder in the Hugging Face layout, or "demo" (a tiny model with
    random weights, which speaks noise).

    \b
    Example:
      bark-export suno/bark-small bark-small-onnx
    """
    started = time.monotonic()
    precisions = tuple(dict.fromkeys(name.strip() for name in precision.split(",")))
    for name in precisions:
        if name not in PRECISIONS:
            raise ExportError(f"precision {name!r} is unknown; expected {', '.join(PRECISIONS)}")
    if attention == "standard" and precisions != ("fp32",):
        raise ExportError("lower precisions need --attention fused; standard graphs stay in fp32")

    def progress(step: str) -> None:
        click.echo(f"[{time.monotonic() - started:6.1f} s] {step}", err=True)

    progress(f"{source}: opening")
    manifest = _export(
        source,
        bundle,
        {
            "attention": attention,
            "precisions": precisions,
            "voices": voices,
            "verify": verify,
        },
        force=force,
        progress=progress,
    )
    if verify:
        click.echo(parity_table(manifest))
    for graph, error in manifest.precision_errors.items():
        click.echo(f"{graph}: {error}")
    size = sum(file.size for file in manifest.files.values())
    click.echo(f"{bundle}: {size / 1e6:.1f} MB in {time.monotonic() - started:.1f} s")


def _export(
    source: str,
    bundle: Path,
    options: dict[str, Any],
    *,
    force: bool,
    progress: Any,
) -> Manifest:
    try:
        from bark_onnx.export.bundle import ExportOptions, export_bundle
        from bark_onnx.export.checkpoint import open_checkpoint
        from bark_onnx.export.demo import DEMO, write_checkpoint
    except ModuleNotFoundError as error:
        raise ExportError(
            f"{error.name} is not installed; exporting needs: pip install 'bark-onnx[export,cpu]'"
        ) from error
    from dataclasses import replace

    with tempfile.TemporaryDirectory(prefix="bark-onnx-demo-") as folder:
        if source == DEMO:
            write_checkpoint(Path(folder))
            checkpoint = replace(open_checkpoint(folder), source=DEMO)
        else:
            checkpoint = open_checkpoint(source)
        return export_bundle(
            checkpoint, bundle, ExportOptions(**options), force=force, progress=progress
        )


def parity_table(manifest: Manifest) -> str:
    """Largest differences of every graph from its torch module, one line per comparison."""
    rows = [("graph", "inputs", "largest difference", "allowed")]
    for graph, cases in manifest.parity.items():
        rows += [
            (graph, case.case, f"{case.largest_difference:.1e}", f"{case.tolerance:.1e}")
            for case in cases
        ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join(
            f"{cell:{'<' if column < 2 else '>'}{widths[column]}}"
            for column, cell in enumerate(row)
        )
        for row in rows
    )


def main() -> None:
    """Run the command; errors are one line on stderr and exit status 1."""
    signal.signal(signal.SIGTERM, _interrupt)
    run_command(command, "bark-export", interrupted="interrupted; nothing was left behind")


def _interrupt(_signal: int, _frame: types.FrameType | None) -> None:
    raise KeyboardInterrupt
