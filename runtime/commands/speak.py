"""bark-onnx speak: a text of any length to a sound file."""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from bark_onnx.graphs.errors import OptionsError, TextError
from bark_onnx.runtime.audio.speech import Speech, check_audio_path
from bark_onnx.runtime.audio.timestamps import Timestamp, check_timestamps_path, write_timestamps
from bark_onnx.runtime.audio.writer import SpeechWriter
from bark_onnx.runtime.commands.keeping import VoiceKeeper
from bark_onnx.runtime.commands.progress import ProgressBars, progress_bars
from bark_onnx.runtime.commands.reading import READING, reading_options
from bark_onnx.runtime.commands.settings import bundle_option, generation_options
from bark_onnx.runtime.options import SAMPLINGS
from bark_onnx.runtime.pipeline import Bark
from bark_onnx.runtime.reading import draw_seed
from bark_onnx.runtime.sessions import PROVIDERS

_STANDARD_INPUT = "-"
_TOGETHER = 8  # what a `Bark` decodes at a time unless told otherwise


@click.command()
@click.argument("text", required=False)
@bundle_option
@click.option("-i", "--input", "file", type=click.Path(path_type=Path), help="Read the text here.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default="speech.wav",
    show_default=True,
    help="Sound file; the suffix names the format: wav, flac, ogg or mp3.",
)
@click.option(
    "--timestamps",
    type=click.Path(path_type=Path),
    help="Write when each piece is said; the suffix names the format: json, srt or vtt.",
)
@click.option(
    "-v", "--voice", help="A voice of the bundle, a language (german, de-3), or an .npz file."
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
    file: Path | None,
    output: Path,
    timestamps: Path | None,
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
    """
    words = _read_text(text, file)
    check_audio_path(output)
    if timestamps is not None:
        check_timestamps_path(timestamps)
    voices = _parse_cast(cast)
    keeper = VoiceKeeper(save_voice, has_cast=bool(voices))
    reading = {name: settings.pop(name) for name in READING}
    reading["together"] = _pieces_together(reading["together"], reading["continuity"])
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
    with keeper, progress_bars(len(words)) as bars:
        speeches = bark.stream(
            words,
            voice=voice,
            cast=voices,
            seed=seed,
            options=options,
            on_progress=bars.update,
            **reading,
        )
        said = _write(keeper.listen(speeches), output, bark.sample_rate_hz, timestamps, bars)
    spoken = time.perf_counter() - loaded
    factor = f"{spoken / said.seconds:.2f}" if said.seconds else "undefined"
    pieces = f", {said.pieces} pieces" if said.pieces > 1 else ""
    click.echo(
        f"{output}: {said.seconds:.2f} s of audio in {spoken:.2f} s, real-time factor {factor}, "
        f"seed {seed}{pieces} (loading took {loaded - started:.2f} s)"
    )


@dataclass
class _Said:
    """What has been written so far."""

    seconds: float = 0.0
    timestamps: list[Timestamp] = field(default_factory=list)

    @property
    def pieces(self) -> int:
        return len(self.timestamps)


def _write(
    speeches: Iterator[Speech],
    output: Path,
    rate_hz: int,
    timestamps: Path | None,
    bars: ProgressBars,
) -> _Said:
    """Write speeches as they come; an interrupt leaves what came."""
    said = _Said()
    try:
        with SpeechWriter(output, rate_hz) as file:
            for speech in speeches:
                file.write(speech)
                said.seconds = file.seconds
                said.timestamps.append(Timestamp.of(speech))
                bars.add(len(speech.text))
    except KeyboardInterrupt as stop:
        if not said.pieces:
            raise
        raise click.Abort(
            f"interrupted; {output} holds what was said before, {said.seconds:.2f} s"
        ) from stop
    finally:
        if timestamps is not None and said.pieces:
            write_timestamps(timestamps, said.timestamps)
    return said


def _pieces_together(together: int | None, continuity: str) -> int:
    if together is not None:
        return together
    return _TOGETHER if continuity == "voice" else 1


def _parse_cast(cast: tuple[str, ...]) -> dict[str, str]:
    voices: dict[str, str] = {}
    for entry in cast:
        name, _, voice = entry.partition("=")
        name = name.strip()
        if not name or not voice:
            raise OptionsError(f"--cast is {entry!r}, expected NAME=VOICE")
        if name in voices:
            raise OptionsError(f"--cast has two voices for {name!r}; expected one")
        voices[name] = voice
    return voices


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
