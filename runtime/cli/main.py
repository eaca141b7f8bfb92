"""The command bark-onnx."""

import warnings

import click

from bark_onnx.graphs.command_line import run_command
from bark_onnx.runtime.cli.info import info
from bark_onnx.runtime.cli.serve import serve
from bark_onnx.runtime.cli.speak import speak
from bark_onnx.runtime.cli.voices import voices
from bark_onnx.runtime.inference.thread_pool import use_global_thread_pool


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


for subcommand in (speak, voices, info, serve):
    command.add_command(subcommand)


def main() -> None:
    """Run the command; an error is one line on stderr and exit status 1."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        click.echo(f"bark-onnx: warning: {message}", err=True)

    warnings.showwarning = show
    use_global_thread_pool()
    run_command(command, "bark-onnx")
