"""bark-onnx speak: a text of any length to a sound file."""

import sys
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from bark_onnx.graphs.errors import OptionsError
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.bark import Bark
from bark_onnx.runtime.cli.options.common import bundle_option, generation_options
from bark_onnx.runtime.cli.options.completion import complete_voice
from bark_onnx.runtime.cli.options.output import OUTPUT, STANDARD_OUTPUT, Output, output_options
from bark_onnx.runtime.cli.options.stream import READING, reading_options, settle_reading
from bark_onnx.runtime.cli.options.suno_compat import SunoCompatCommand, suno_options
from bark_onnx.runtime.cli.speech.input_text import parse_cast, read_text
from bark_onnx.runtime.cli.speech.line_outputs import LineOutput, plan_line_outputs
from bark_onnx.runtime.cli.speech.lines import LineBatchOptions, speak_lines, split_lines
from bark_onnx.runtime.cli.speech.output import name_of, say
from bark_onnx.runtime.cli.speech.progress import progress_bars
from bark_onnx.runtime.cli.speech.summary import SpeechSummary
from bark_onnx.runtime.cli.speech.voice_saver import VoiceSaver
from bark_onnx.runtime.inference.sessions import PROVIDERS
from bark_onnx.runtime.options.generation import SAMPLING_PRESETS
from bark_onnx.runtime.seeds import resolve_seed


@click.command(cls=SunoCompatCommand)
@click.argument("text", required=False)
@bundle_option
@click.option("-i", "--input", "file", help='Read the text here; "-": standard input.')
@output_options
@click.option(
    "-v",
    "--voice",
    shell_complete=complete_voice,
    help="A voice of the bundle, a language (german, de-3), or an .npz file.",
)
@click.option(
    "--save-voice",
    type=click.Path(path_type=Path),
    help="Keep what is said as a voice in this .npz file, for --voice.",
)
@click.option(
    "--cast",
    multiple=True,
    metavar="NAME=VOICE",
    help='Who says the lines that begin with "NAME:"; give it once per speaker.',
)
@click.option("-s", "--seed", type=int, help="The same seed gives the same speech.")
@click.option(
    "--sampling",
    type=click.Choice(list(SAMPLING_PRESETS)),
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
@suno_options
def speak(
    text: str | None,
    bundle: str,
    file: str | None,
    voice: str | None,
    save_voice: Path | None,
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
      bark-onnx speak -i article.txt -m bark-small-onnx -o - --format mp3 | ssh desk mpv -
      bark-onnx speak -i lines.txt -m bark-small-onnx --lines -o prompts/
    """
    output = Output(**_take(settings, OUTPUT))
    words = read_text(text, file)
    voices = parse_cast(cast)
    if output.lines and voices:
        raise OptionsError("--lines and --cast exclude each other; expected one of them")
    keeper = VoiceSaver(save_voice, has_cast=bool(voices), has_lines=output.lines)
    lines = split_lines(words) if output.lines else {}
    files = plan_line_outputs(output, list(lines)) if lines else []
    reading = settle_reading(_take(settings, READING), is_lines=output.lines)
    given = {name: value for name, value in settings.items() if value is not None}
    options = SAMPLING_PRESETS[sampling]().replace(**given)
    seed = resolve_seed(seed)
    started = time.perf_counter()
    bark = Bark.load(
        bundle,
        provider=provider,
        precision=precision,
        threads=threads,
        low_memory=low_memory,
        wait=False,
    )
    described = bark.describe()
    report = SpeechSummary(
        output=output.output,
        sample_rate_hz=output.sample_rate_hz or bark.sample_rate_hz,
        seed=seed,
        voice=voice,
        loading_seconds=time.perf_counter() - started,
        precision=described.precision,
        provider=described.provider,
    )
    stream = partial(bark.stream, voice=voice, speakers=voices, options=options, **reading.keywords)
    if output.lines:
        _speak_lines(bark, lines, files, output, report, stream, reading.lines_together)
    else:
        _speak_whole(words, output, report, stream, keeper)


def _speak_whole(
    words: str,
    output: Output,
    report: SpeechSummary,
    stream: Callable[..., Generator[Speech]],
    keeper: VoiceSaver,
) -> None:
    with keeper, progress_bars(len(words)) as bars:
        speeches = stream(words, seed=report.seed, on_progress=bars.update)
        spoken = say(keeper.listen(speeches), output, report.sample_rate_hz, bars)
    report = replace(
        report,
        output=STANDARD_OUTPUT if output.to_stdout else name_of(output),
        seconds=spoken.seconds,
        pieces=tuple(spoken.pieces),
        speaking_seconds=spoken.ended - spoken.started,
    )
    report.show(as_json=output.as_json, to_stderr=output.to_stdout)
    if spoken.failure is not None:
        raise spoken.failure


def _speak_lines(
    bark: Bark,
    lines: dict[int, str],
    files: list[LineOutput],
    output: Output,
    report: SpeechSummary,
    stream: Callable[..., Generator[Speech]],
    together: int,
) -> None:
    settings = LineBatchOptions(
        stream=lambda text, seed: stream(text, seed=seed),
        seed=report.seed,
        together=together,
        audio_format=output.audio_format,
        metadata=not output.no_metadata,
        template=report,
    )
    show = partial(SpeechSummary.show, as_json=output.as_json, to_stderr=False)
    if speak_lines(bark, lines, files, settings, show):
        sys.exit(1)


def _take(settings: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: settings.pop(name) for name in names}
