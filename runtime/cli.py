"""bark-onnx: the command."""

import warnings

import click

from bark_onnx.graphs.command import run_command
from bark_onnx.runtime.commands.info import info
from bark_onnx.runtime.commands.speak import speak
from bark_onnx.runtime.commands.voices import voices
from bark_onnx.runtime.process import share_threads
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
command.add_command(voices)
command.add_command(info)
command.add_command(serve)


def main() -> None:
    """Run the command; errors are one line on stderr and exit status 1."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        click.echo(f"bark-onnx: warning: {message}", err=True)

    warnings.showwarning = show
    share_threads()
    run_command(command, "bark-onnx")
