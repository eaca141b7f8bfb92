"""bark-onnx: the command."""

import warnings

import click

from bark_onnx.graphs.command import run_command
from bark_onnx.runtime.bundle import Bundle
from bark_onnx.runtime.commands.info import info
from bark_onnx.runtime.commands.settings import bundle_option
from bark_onnx.runtime.commands.speak import speak
from bark_onnx.runtime.serve.command import serve


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bark-onnx")
def command() -> None:
    """Bark text-to-speech on ONNX Runtime, without PyTorch.

    \b
    Examples:
      bark-onnx speak "Hello, my dog is cute" -m bark-small-onnx --voice v2/en_speaker_6
      bark-onnx info speech.wav
      bark-onnx serve -m bark-small-onnx
    """


command.add_command(speak)


@command.command()
@bundle_option
def voices(bundle: str) -> None:
    """List the voices of a bundle, one a line.

    \b
    Example:
      bark-onnx voices -m bark-small-onnx
    """
    for name in Bundle(bundle).voice_names():
        click.echo(name)


command.add_command(info)
command.add_command(serve)


def main() -> None:
    """Run the command; errors are one line on stderr and exit status 1."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        click.echo(f"bark-onnx: warning: {message}", err=True)

    warnings.showwarning = show
    run_command(command, "bark-onnx")
