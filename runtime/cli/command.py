"""The command bark-onnx with its subcommands."""

import click

from bark_onnx.runtime.cli.batch import batch
from bark_onnx.runtime.cli.info import info
from bark_onnx.runtime.cli.serve import serve
from bark_onnx.runtime.cli.speak import speak
from bark_onnx.runtime.cli.voices import voices


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bark-onnx")
def command() -> None:
    """Bark text-to-speech on ONNX Runtime, without PyTorch.

    \b
    Examples:
      bark-onnx speak "Hello, my dog is cute" -m bark-small-onnx --voice v2/en_speaker_6
      bark-onnx batch prompts.csv -m bark-small-onnx -o prompts/
      bark-onnx info speech.wav
      bark-onnx serve -m bark-small-onnx
    """


for subcommand in (speak, batch, voices, info, serve):
    command.add_command(subcommand)
