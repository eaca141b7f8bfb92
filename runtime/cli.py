"""bark-onnx: the command."""

import warnings

import click

from bark_onnx.graphs.command import run_command
from bark_onnx.graphs.contract import STAGES, GraphContract
from bark_onnx.runtime.bundle import Bundle
from bark_onnx.runtime.commands.settings import bundle_option
from bark_onnx.runtime.commands.speak import speak
from bark_onnx.runtime.commands.voices import voices
from bark_onnx.runtime.serve.command import serve


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bark-onnx")
def command() -> None:
    """Bark text-to-speech on ONNX Runtime, without PyTorch."""


command.add_command(speak)
command.add_command(voices)


@command.command()
@bundle_option
def info(bundle: str) -> None:
    """Say what a bundle is, and what each graph takes and gives, for embedding it elsewhere."""
    opened = Bundle(bundle)
    manifest = opened.manifest
    size = sum(record.size for record in manifest.files.values())
    click.echo(f"bundle      {opened.folder}")
    click.echo(f"source      {manifest.source}")
    click.echo(f"exporter    {manifest.exporter}")
    click.echo(f"precisions  {', '.join(manifest.precisions)}")
    click.echo(f"attention   {manifest.attention}")
    click.echo(f"opset       {manifest.opset}, codec {manifest.codec_opset}")
    click.echo(f"size        {size / 1e6:.1f} MB in {len(manifest.files)} files")
    click.echo(f"voices      {len(opened.voice_names())}")
    click.echo(f"audio       {manifest.shapes.codec.sample_rate_hz} Hz")
    for graph, cases in manifest.parity.items():
        largest = max(case.largest_difference for case in cases)
        click.echo(f"parity      {graph}: {largest:.1e} from PyTorch over {len(cases)} inputs")
    for graph, error in manifest.precision_errors.items():
        click.echo(f"error       {graph}: {error}")
    for stage in STAGES:
        precisions: dict[GraphContract, list[str]] = {}
        for name in manifest.precisions:
            precisions.setdefault(opened.contract(stage, name), []).append(name)
        for contract, names in precisions.items():
            where = f"{','.join(names)}/" if len(precisions) > 1 else ""
            click.echo(f"\n{where}{stage}.onnx (contract {contract.version})")
            for direction, tensors in (("in ", contract.inputs), ("out", contract.outputs)):
                for tensor in tensors:
                    click.echo(f"  {direction} {tensor} - {tensor.meaning}")


command.add_command(serve)


def main() -> None:
    """Run the command; errors are one line on stderr and exit status 1."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        click.echo(f"bark-onnx: warning: {message}", err=True)

    warnings.showwarning = show
    run_command(command, "bark-onnx")
