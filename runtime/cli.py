"""bark-onnx: the command."""

import dataclasses
import sys
import time
import typing
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from bark_onnx.graphs.command import run_command
from bark_onnx.graphs.contract import STAGES, Stage
from bark_onnx.graphs.errors import TextError
from bark_onnx.runtime.audio import check_audio_path
from bark_onnx.runtime.bundle import Bundle
from bark_onnx.runtime.options import GenerationOptions
from bark_onnx.runtime.pipeline import Bark
from bark_onnx.runtime.progress import OnProgress
from bark_onnx.runtime.serve.command import serve
from bark_onnx.runtime.sessions import PROVIDERS

_STANDARD_INPUT = "-"
_UNPREFIXED = ("temperature", "top_k", "top_p", "do_sample")  # set every stage that has them
_HELP = {
    "temperature": "Below 1 is safer, above 1 wilder.",
    "top_k": "Draw among this many tokens; 0: among all.",
    "top_p": "Draw among the likeliest tokens with this share.",
    "do_sample": "Draw tokens, or always take the most probable.",
    "max_new_tokens": "Longest utterance, about 50 tokens a second.",
    "eos_p": "End as soon as ending is likelier than this.",
}

Command = Callable[..., None]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bark-onnx")
def command() -> None:
    """Bark text-to-speech on ONNX Runtime, without PyTorch."""


_bundle_option = click.option(
    "-m",
    "--model",
    "bundle",
    required=True,
    envvar="BARK_ONNX_MODEL",
    metavar="BUNDLE",
    help="A bundle's folder or hub id (or set BARK_ONNX_MODEL).",
)


def _generation_options(function: Command) -> Command:
    """One option per field of `GenerationOptions`, and the names that set all stages."""
    hints = typing.get_type_hints(GenerationOptions)
    names = [field.name for field in dataclasses.fields(GenerationOptions)]
    for name in reversed([*_UNPREFIXED, *names]):
        kind = typing.get_args(hints[f"coarse_{name}" if name in _UNPREFIXED else name])[0]
        flag = name.replace("_", "-")
        declared = f"--{flag}/--no-{flag}" if kind is bool else f"--{flag}"
        text = next(text for suffix, text in _HELP.items() if name.endswith(suffix))
        function = click.option(declared, name, type=kind, default=None, help=text)(function)
    return function


@command.command()
@click.argument("text", required=False)
@_bundle_option
@click.option("-i", "--input", "file", type=click.Path(path_type=Path), help="Read the text here.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default="speech.wav",
    show_default=True,
    help="Sound file; the suffix names the format: wav, flac, ogg or mp3.",
)
@click.option("-v", "--voice", help="A voice of the bundle, or an .npz file.")
@click.option("-s", "--seed", type=int, help="The same seed gives the same speech.")
@click.option("--greedy", is_flag=True, help="The most probable token everywhere.")
@click.option("--provider", type=click.Choice(PROVIDERS), default="auto", show_default=True)
@click.option("--precision", help="A precision of the bundle; default: the fastest.")
@click.option("--threads", type=int, help="CPU threads; default: one per core.")
@click.option("--low-memory", is_flag=True, help="Keep one stage loaded at a time.")
@_generation_options
def speak(
    text: str | None,
    bundle: str,
    file: Path | None,
    output: Path,
    voice: str | None,
    seed: int | None,
    greedy: bool,
    provider: str,
    precision: str | None,
    threads: int | None,
    low_memory: bool,
    **settings: Any,
) -> None:
    """Say TEXT ("-" reads standard input) and write it to a sound file.

    \b
    Examples:
      bark-onnx speak "Hello, my dog is cute" -m bark-small-onnx -o hello.wav
      echo "Bonjour !" | bark-onnx speak - -m bark-small-onnx --voice v2/fr_speaker_5
    """
    words = _read_text(text, file)
    check_audio_path(output)
    options = GenerationOptions.greedy() if greedy else GenerationOptions()
    given = {name: value for name, value in settings.items() if value is not None}
    options = options.replace(**given)
    started = time.perf_counter()
    bark = Bark.load(
        bundle, provider=provider, precision=precision, threads=threads, low_memory=low_memory
    )
    loaded = time.perf_counter()
    with _progress_bars() as on_progress:
        speech = bark.speak(words, voice=voice, seed=seed, options=options, on_progress=on_progress)
    spoken = time.perf_counter() - loaded
    speech.save(output)
    factor = f"{spoken / speech.seconds:.2f}" if speech.seconds else "undefined"
    click.echo(
        f"{output}: {speech.seconds:.2f} s of audio in {spoken:.2f} s, real-time factor {factor}, "
        f"seed {speech.seed} (loading took {loaded - started:.2f} s)"
    )


@command.command()
@_bundle_option
def voices(bundle: str) -> None:
    """List the voices of a bundle, one a line."""
    for name in Bundle(bundle).voice_names():
        click.echo(name)


@command.command()
@_bundle_option
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
        contract = opened.contract(stage)
        click.echo(f"\n{stage}.onnx (contract {contract.version})")
        for direction, tensors in (("in ", contract.inputs), ("out", contract.outputs)):
            for tensor in tensors:
                click.echo(f"  {direction} {tensor} - {tensor.meaning}")


def _read_text(text: str | None, file: Path | None) -> str:
    if text is None and file is None:
        raise TextError('Nothing to say; give a text, "-" for standard input, or --input FILE')
    if text is not None and file is not None:
        raise TextError("Found both a text and --input; expected one of them")
    try:
        if file is not None:
            return file.read_bytes().decode("utf-8")
        if text == _STANDARD_INPUT:
            return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        where = file or "standard input"
        raise TextError(
            f"{where} is not UTF-8 (byte {error.start} is {error.object[error.start]:#04x}); "
            "convert it first, as with iconv -t utf-8"
        ) from error
    except OSError as error:
        raise TextError(f"{file}: cannot be read ({error.strerror})") from error
    assert text is not None
    return text


@contextmanager
def _progress_bars() -> Iterator[OnProgress]:
    """One bar per stage on a terminal; nothing elsewhere."""
    bars: dict[Stage, Any] = {}

    def update(stage: Stage, done: int, total: int) -> None:
        if stage not in bars:
            for bar in bars.values():
                bar.close()
            bars[stage] = tqdm(desc=stage, total=total, leave=False, disable=None, file=sys.stderr)
        bar = bars[stage]
        bar.update(done - bar.n)

    try:
        yield update
    finally:
        for bar in bars.values():
            bar.close()


command.add_command(serve)


def main() -> None:
    """Run the command; errors are one line on stderr and exit status 1."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        click.echo(f"bark-onnx: warning: {message}", err=True)

    warnings.showwarning = show
    run_command(command, "bark-onnx")
