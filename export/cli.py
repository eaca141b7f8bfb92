"""bark-export, the command."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from bark_onnx.export.parity_report import parity_summary, parity_table
from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.bundle.demo import DEMO
from bark_onnx.graphs.bundle.manifest import Manifest
from bark_onnx.graphs.command_line import (
    GroupedCommand,
    grouped_option,
    prepare_streams,
    print_error,
    run_command,
)
from bark_onnx.graphs.contract import ATTENTIONS, Attention
from bark_onnx.graphs.errors import ExportError, printable, system_reason
from bark_onnx.graphs.installation import install_command
from bark_onnx.graphs.interrupts import raise_interrupts
from bark_onnx.graphs.precisions import PRECISIONS

_contents = grouped_option("Contents")
_parts = grouped_option("Parts from other sources")
_output = grouped_option("Output")

_DEMO_CHECKPOINT = Path(__file__).parent / "demo" / "checkpoint"


@click.command(cls=GroupedCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("source")
@click.argument("bundle", type=click.Path(path_type=Path))
@_contents(
    "--precision",
    default="fp32",
    show_default=True,
    help=f"Precisions, separated by commas: {', '.join(PRECISIONS)}.",
)
@_contents(
    "--attention",
    type=click.Choice(ATTENTIONS),
    default="fused",
    show_default=True,
    help="fused: in-place cache, for ONNX Runtime. standard: ai.onnx operators only.",
)
@_contents(
    "--voices",
    default="all",
    show_default=True,
    help="Voices to convert: all, none, or names separated by commas.",
)
@_contents(
    "--tokenizer-graph",
    is_flag=True,
    help="Write tokenizer.onnx, too, for programs without a tokenizer: text in, the prompt of "
    "semantic.onnx out. They need the operators of onnxruntime-extensions.",
)
@_parts(
    "--voices-from",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Voices instead of the checkpoint's: Suno's .npz files, or a speaker_embeddings folder.",
)
@_parts(
    "--tokenizer",
    metavar="DIR|HUB_ID",
    help="Tokenizer instead of the checkpoint's. "
    "Default for Suno's .pt files: google-bert/bert-base-multilingual-cased.",
)
@_parts(
    "--codec",
    metavar="PATH|HUB_ID",
    help="EnCodec 24 kHz for Suno's .pt files: facebook/encodec_24khz, a Hugging Face folder of "
    "EnCodec or Bark, or encodec_24khz-d7cc33bc.th.",
)
@_parts(
    "--size",
    help="Size of Suno's .pt files if both exist: small, large, or by stage, as in "
    "text=small,coarse=small,fine=large.",
)
@_output(
    "--verify/--no-verify",
    default=True,
    show_default=True,
    help="Compare every graph with PyTorch; without, the export is a tenth faster.",
)
@_output(
    "--golden",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Also write a conformance kit, which ports to other languages have to repeat.",
)
@_output("--verbose", is_flag=True, help="Print every comparison with PyTorch.")
@_output(
    "--force",
    is_flag=True,
    help="Replace an existing bundle.",
)
@click.version_option(package_name="bark-onnx")
def command(
    source: str,
    bundle: Path,
    precision: str,
    attention: Attention,
    voices: str,
    tokenizer_graph: bool,
    voices_from: Path | None,
    tokenizer: str | None,
    codec: str | None,
    size: str | None,
    verify: bool,
    golden: Path | None,
    verbose: bool,
    force: bool,
) -> None:
    """Export a Bark checkpoint to a BUNDLE of ONNX graphs, which needs no PyTorch to speak.

    SOURCE is a hub id, a local folder in the Hugging Face layout, a folder with Suno's own text.pt,
    coarse.pt and fine.pt (or text_2.pt, coarse_2.pt, fine_2.pt), "demo" (the small model that comes
    with the package), or "random" (a tiny model with random weights, which generates noise).

    \b
    Examples:
      bark-export suno/bark-small bark-small-onnx
      bark-export ~/.cache/suno/bark_v0 bark-onnx --size large --codec facebook/encodec_24khz
    """
    started = time.monotonic()
    precisions = tuple(dict.fromkeys(name.strip() for name in precision.split(",")))
    for name in precisions:
        if name not in PRECISIONS:
            raise ExportError(f"precision {name!r} is unknown; expected {', '.join(PRECISIONS)}")
    if attention == "standard" and precisions != ("fp32",):
        raise ExportError("lower precisions need --attention fused; standard graphs stay in fp32")
    if not voices.strip():
        raise ExportError("--voices is empty; expected all, none, or names separated by commas")
    if voices_from is not None and voices == "none":
        raise ExportError("--voices none contradicts --voices-from; give one of the two")

    def progress(step: str) -> None:
        print_error(printable(f"[{time.monotonic() - started:6.1f} s] {step}"))

    progress(f"{source}: opening")
    manifest = _export(
        source,
        bundle,
        {
            "attention": attention,
            "precisions": precisions,
            "voices": voices,
            "verify": verify,
            "tokenizer_graph": tokenizer_graph,
        },
        {"codec": codec, "size": size, "tokenizer": tokenizer, "voices_from": voices_from},
        golden=golden,
        force=force,
        progress=progress,
    )
    if verify:
        click.echo(parity_table(manifest) if verbose else parity_summary(manifest))
    for graph, error in manifest.precision_errors.items():
        click.echo(f"{graph}: {error}")
    total = sum(file.size for file in manifest.files.values())
    size = f"{total / 1e6:.1f} MB in {time.monotonic() - started:.1f} s"
    click.echo(printable(f"{bundle}: {size}"))


def _export(
    source: str,
    bundle: Path,
    options: dict[str, Any],
    source_options: dict[str, Any],
    *,
    golden: Path | None,
    force: bool,
    progress: Callable[[str], None],
) -> Manifest:
    try:
        from bark_onnx.export.bundle import ExportOptions, export_bundle
        from bark_onnx.export.checkpoints.sources import SourceOptions, open_source
        from bark_onnx.export.golden.kit import kit_folder, write_kit
        from bark_onnx.export.random_bark import RANDOM, write_checkpoint
    except ModuleNotFoundError as error:
        raise ExportError(
            f"{error.name} is not installed; exporting needs: {install_command('export,cpu')}"
        ) from error
    except (ImportError, OSError) as error:
        raise ExportError(f"a package cannot be loaded ({system_reason(error)})") from error

    parts = SourceOptions(**source_options)
    with tempfile.TemporaryDirectory(prefix="bark-onnx-random-") as folder:
        if source == RANDOM:
            write_checkpoint(Path(folder))
            checkpoint = replace(open_source(folder, parts), source=source)
        elif source == DEMO and not Path(source).exists():
            checkpoint = replace(open_source(str(_DEMO_CHECKPOINT), parts), source=source)
        else:
            checkpoint = open_source(source, parts)
        with kit_folder(golden, bundle, force=force) as kit:
            manifest = export_bundle(
                checkpoint, bundle, ExportOptions(**options), force=force, progress=progress
            )
            if kit is not None:
                write_kit(Bundle(bundle), kit, progress)
    return manifest


def main(arguments: Sequence[str] | None = None, *, name: str = "bark-export") -> None:
    """Run the command; an error is one line on stderr and exit status 1.

    Args:
        arguments: Arguments; None takes those of the process.
        name: Name of the program, as messages show it.
    """
    prepare_streams()
    raise_interrupts()
    run_command(
        command, name, arguments=arguments, interrupted="interrupted; nothing was left behind"
    )
