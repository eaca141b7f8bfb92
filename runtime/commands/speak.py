"""bark-onnx speak: a text of any length to a sound file."""

import time
from typing import Any

import click

from bark_onnx.runtime.commands.outputs import OUTPUT, Output, output_options
from bark_onnx.runtime.commands.progress import progress_bars
from bark_onnx.runtime.commands.reading import READING, reading_options
from bark_onnx.runtime.commands.report import Report
from bark_onnx.runtime.commands.saying import say
from bark_onnx.runtime.commands.settings import bundle_option, generation_options
from bark_onnx.runtime.commands.text import parse_cast, read_text
from bark_onnx.runtime.options import SAMPLINGS
from bark_onnx.runtime.pipeline import Bark
from bark_onnx.runtime.reading import draw_seed
from bark_onnx.runtime.sessions import PROVIDERS

_TOGETHER = 8  # what a `Bark` decodes at a time unless told otherwise


@click.command()
@click.argument("text", required=False)
@bundle_option
@click.option("-i", "--input", "file", help='Read the text here; "-": standard input.')
@output_options
@click.option("-v", "--voice", help="A voice of the bundle, or an .npz file.")
@click.option(
    "--cast",
    multiple=True,
    metavar="NAME=VOICE",
    help='Who says the lines that begin with "NAME:"; give it once per speaker.',
)
@click.option("-s", "--seed", type=int, help="The same seed gives the same speech.")
@click.option(
    "--sampling",
    type=click.Choice(list(SAMPLINGS)),
    default="transformers",
    show_default=True,
    help="Settings to start from: the checkpoint's as transformers reads them, those of Suno's own "
    "code, or the most probable token everywhere.",
)
@click.option("--greedy", "sampling", flag_value="greedy", help="As --sampling greedy.")
@click.option("--provider", type=click.Choice(PROVIDERS), default="auto", show_default=True)
@click.option("--precision", help="A precision of the bundle; default: the fastest.")
@click.option("--threads", type=int, help="CPU threads; default: one per core.")
@click.option("--low-memory", is_flag=True, help="Keep one stage loaded at a time.")
@reading_options
@generation_options
def speak(
    text: str | None,
    bundle: str,
    file: str | None,
    voice: str | None,
    cast: tuple[str, ...],
    seed: int | None,
    sampling: str,
    provider: str,
    precision: str | None,
    threads: int | None,
    low_memory: bool,
    **settings: Any,
) -> None:
    """Say TEXT ("-" reads standard input), of any length, and write it to a sound file.

    \b
    Examples:
      bark-onnx speak "Hello, my dog is cute" -m bark-small-onnx -o hello.wav
      echo "Bonjour !" | bark-onnx speak - -m bark-small-onnx --voice v2/fr_speaker_5
      bark-onnx speak -i article.txt -m bark-small-onnx --timestamps speech.srt
    """
    output = Output(**_take(settings, OUTPUT))
    reading = _take(settings, READING)
    reading["together"] = _pieces_together(reading["together"], reading["continuity"])
    words = read_text(text, file)
    voices = parse_cast(cast)
    given = {name: value for name, value in settings.items() if value is not None}
    options = SAMPLINGS[sampling]().replace(**given)
    started = time.perf_counter()
    bark = Bark.load(
        bundle,
        provider=provider,
        precision=precision,
        threads=threads,
        low_memory=low_memory,
        wait=False,
    )
    loaded = time.perf_counter()
    seed = draw_seed() if seed is None else seed
    with progress_bars(len(words)) as bars:
        speeches = bark.stream(
            words,
            voice=voice,
            cast=voices,
            seed=seed,
            options=options,
            on_progress=bars.update,
            **reading,
        )
        said = say(speeches, output, bark.sample_rate_hz, bars)
    report = Report(
        output=str(output.output),
        seconds=said.seconds,
        seed=seed,
        pieces=said.pieces,
        loading_seconds=loaded - started,
        speaking_seconds=time.perf_counter() - loaded,
    )
    click.echo(report.line())


def _take(settings: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: settings.pop(name) for name in names}


def _pieces_together(together: int | None, continuity: str) -> int:
    if together is not None:
        return together
    return _TOGETHER if continuity == "voice" else 1
