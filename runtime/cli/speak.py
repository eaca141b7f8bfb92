"""bark-onnx speak: generates speech for a text of any length and writes it to a sound file."""

import sys
import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import click

from bark_onnx.graphs.command_line import add_options, grouped_option
from bark_onnx.graphs.errors import OptionsError
from bark_onnx.graphs.interrupts import raise_interrupts
from bark_onnx.runtime.bark import Bark
from bark_onnx.runtime.cli.options.common import bundle_option, flags_in_errors, values_of
from bark_onnx.runtime.cli.options.completion import complete_voice
from bark_onnx.runtime.cli.options.generation import build_generation_options, generation_options
from bark_onnx.runtime.cli.options.hardware import HARDWARE, hardware_options
from bark_onnx.runtime.cli.options.output import OutputOptions, output_options
from bark_onnx.runtime.cli.options.stream import (
    build_stream_options,
    line_concurrency,
    stream_options,
)
from bark_onnx.runtime.cli.options.suno_compat import SunoCompatCommand, suno_options
from bark_onnx.runtime.cli.speech.input_text import parse_speakers, read_text, split_lines
from bark_onnx.runtime.cli.speech.line_outputs import plan_line_outputs
from bark_onnx.runtime.cli.speech.lines import Plan, speak_lines
from bark_onnx.runtime.cli.speech.output import write_stream
from bark_onnx.runtime.cli.speech.progress import ProgressBars
from bark_onnx.runtime.cli.speech.summary import SpeechSummary
from bark_onnx.runtime.cli.speech.voice_saver import VoiceSaver
from bark_onnx.runtime.seeds import resolve_seed

_voice_option = grouped_option("Voice")


@click.command(cls=SunoCompatCommand)
@click.argument("text", required=False)
@bundle_option
@grouped_option("Input")(
    "-i", "--input", "file", metavar="FILE", help='Read the text from FILE; "-": standard input.'
)
@output_options
@add_options(
    _voice_option(
        "-v",
        "--voice",
        shell_complete=complete_voice,
        help="A name (v2/en_speaker_6), german, de-3, or me.npz.",
    ),
    _voice_option(
        "--speaker",
        "speakers",
        multiple=True,
        metavar="NAME=VOICE",
        help='Voice of lines that begin with "NAME:"; repeatable.',
    ),
    _voice_option(
        "--save-voice",
        type=click.Path(),
        help="Save the generated voice as .npz for --voice.",
    ),
    _voice_option("-s", "--seed", type=int, help="The same seed generates the same speech."),
)
@stream_options
@generation_options
@hardware_options
@suno_options
@flags_in_errors()
def speak(
    text: str | None,
    bundle: str,
    file: str | None,
    voice: str | None,
    speakers: tuple[str, ...],
    save_voice: str | None,
    seed: int | None,
    **values: Any,
) -> None:
    """Generate speech for TEXT ("-": standard input) of any length, to a sound file.

    \b
    Examples:
      bark-onnx speak "Hello, my dog is cute" -m bark-small-onnx -o hello.wav
      echo "Bonjour !" | bark-onnx speak - -m bark-small-onnx --voice v2/fr_speaker_5
      bark-onnx speak -i article.txt -m bark-small-onnx --timestamps speech.srt
      bark-onnx speak -i article.txt -m bark-small-onnx -o - --format mp3 | ssh host mpv -
      bark-onnx speak -i lines.txt -m bark-small-onnx --lines -o prompts/
    """
    raise_interrupts()
    # 1. Everything that can be wrong is checked before the model loads.
    output = OutputOptions(**values_of(OutputOptions, values))
    content = read_text(text, file)
    voices = parse_speakers(speakers)
    if output.lines and voices:
        raise OptionsError("--lines and --speaker exclude each other; expected one of them")
    saver = VoiceSaver(save_voice, has_speakers=bool(voices), has_lines=output.lines)
    lines = split_lines(content) if output.lines else {}
    outputs = plan_line_outputs(output, list(lines)) if lines else []
    stream = build_stream_options(values, has_lines=output.lines)
    concurrency = line_concurrency(values)
    options = build_generation_options(values)
    seed = resolve_seed(seed)
    # 2. The model loads while its first stages run.
    started = time.perf_counter()
    hardware = {name: values[name] for name in HARDWARE}
    bark = Bark.load(bundle, wait=False, **hardware)
    info = bark.describe()
    summary = SpeechSummary(
        output=output.output,
        sample_rate_hz=output.sample_rate_hz or bark.sample_rate_hz,
        seed=seed,
        voice=voice,
        loading_seconds=time.perf_counter() - started,
        precision=info.precision,
        provider=info.provider,
    )
    # 3. Speech is written as it is generated.
    plan = partial(bark.plan, voice=voice, speakers=voices, options=options, stream=stream)
    if not output.lines:
        _speak_text(bark, plan, content, output, summary, saver)
    elif speak_lines(lines, outputs, plan, bark.submit_segment, concurrency, output, summary):
        sys.exit(1)


def _speak_text(
    bark: Bark,
    plan: Plan,
    content: str,
    output: OutputOptions,
    summary: SpeechSummary,
    saver: VoiceSaver,
) -> None:
    planned = plan(content, seed=summary.seed)
    texts = [segment.text for segment in planned.segments]
    with saver, closing(ProgressBars(texts, planned.stream.concurrency)) as bars:
        speeches = bark.stream(planned, on_progress=bars.update)
        result = write_stream(saver.tee(speeches), output, summary.sample_rate_hz, bars)
    summary = replace(
        summary,
        output=output.output if output.to_stdout else output.display_name,
        has_replaced=result.has_replaced,
        seconds=result.seconds,
        segments=tuple(result.segments),
        speaking_seconds=result.ended - result.started,
    )
    summary.show(as_json=output.as_json, to_stderr=output.to_stdout)
    if result.player_error is not None:
        raise result.player_error
