"""Words of a long text, for every history, pause and cross-fade: what segments do to each other.

A text of held-out sentences is streamed, joined as the command joins it, and recognized as a whole;
as a dialogue, two voices say the sentences in turn. The likeness of the segments to the first one,
by a speaker encoder, shows whether the voice drifts.
Prints a table; the last line is one JSON object.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import cycle, product
from pathlib import Path
from typing import Any

import click
import soundfile
from tqdm import tqdm

from bark_onnx.graphs.errors import BarkError
from bark_onnx.runtime import Bark, StreamOptions
from bark_onnx.runtime.options.stream import HISTORIES, SILENCE_SECONDS

try:
    from recognition.recognizers import Recognizer
    from recognition.report import table
    from recognition.setup import (
        bundle_options,
        choose_voices,
        generation_options,
        load_bundle,
        open_recognizers,
        open_teachers,
        option_values,
        read_sentences,
        write_result,
    )
    from recognition.speakers import ResemblyzerEmbedder
    from recognition.streams import Samples, Script, Sound, StreamFigures, stream_text
    from recognition.word_errors import word_errors
except ModuleNotFoundError as error:
    raise SystemExit(f"Error: {error}") from error

_SPEAKERS = ("Anna", "Ben")
_COLUMNS = (
    ("segments", "segments", "{}"),
    ("seconds", "audio_seconds", "{:.1f}"),
    ("ended", "ended_share", "{:.1%}"),
    ("issues", "issues", "{}"),
    ("alike", "mean_likeness", "{:.2f}"),
    ("least", "least_likeness", "{:.2f}"),
    ("RTF", "real_time_factor", "{:.2f}"),
)


@click.command()
@bundle_options
@click.option(
    "--text",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Text; default: the demo's held-out sentences.",
)
@click.option("--words", type=click.IntRange(min=1), default=200, show_default=True)
@click.option("--voice", help="Default: the first with a teacher.")
@click.option("--history", "histories", type=click.Choice(HISTORIES), multiple=True)
@click.option("--silence", "silences", type=float, multiple=True, help="Seconds; default: 0.25.")
@click.option("--crossfade", "crossfades", type=float, multiple=True, help="Seconds; default: 0.1.")
@click.option(
    "--stream",
    "stream",
    multiple=True,
    metavar="NAME=VALUE",
    help="Of StreamOptions, such as attempts.",
)
@click.option("--dialogue", is_flag=True, help="Two voices say the sentences in turn.")
def main(**given: Any) -> None:
    """Measure a text streamed with every history, and every silence and cross-fade."""
    try:
        _measure_text(given)
    except BarkError as error:
        raise click.ClickException(str(error)) from error


def _measure_text(given: Mapping[str, Any]) -> None:
    sentences = read_text(given["path"], given["words"])
    recognizers = open_recognizers(given["recognizers"], given["trigrams"], sentences)
    embedder = ResemblyzerEmbedder()
    options = generation_options(given["options"])
    streams = stream_options(given)
    with load_bundle(given) as bark:
        script = _script(sentences, bark, given)
        info = bark.describe()
        sounds = [
            stream_text(bark, script, stream, options, given["seed"], embedder)
            for stream in tqdm(streams, "stream", unit="text")
        ]
        teachers = {} if given["dialogue"] else open_teachers(given, bark, [script.voice])
    text = " ".join(sentences)
    for teacher in teachers.values():
        samples, rate = teacher.record(text)
        sounds.append(
            (StreamFigures(f"teacher {teacher.voice}", 1, len(samples) / rate), samples, rate)
        )
    rows = [
        replace(row, word_error_rates=_error_rates(text, samples, rate, recognizers))
        for row, samples, rate in tqdm(sounds, "recognize", unit="text")
    ]
    _keep(given["keep"], sounds)
    for line in table(rows, _COLUMNS):
        click.echo(line)
    result = {"voice": script.voice, "speakers": dict(script.speakers), "words": len(text.split())}
    result |= {"stream": option_values(given["stream"], "stream")}
    write_result({**result, "rows": [asdict(row) for row in rows]}, info, given)


def _script(sentences: Sequence[str], bark: Bark, given: Mapping[str, Any]) -> Script:
    """The sentences by one voice, or as a dialogue of two."""
    voices = choose_voices([given["voice"]] if given["voice"] else [], bark, given["teachers"])
    if not given["dialogue"]:
        return Script(" ".join(sentences), voices[0])
    if len(sentences) < len(_SPEAKERS):
        raise click.UsageError(f"--dialogue needs {len(_SPEAKERS)} sentences; found 1")
    lines = (f"{name}: {line}" for name, line in zip(cycle(_SPEAKERS), sentences, strict=False))
    speakers = dict(zip(_SPEAKERS, cycle(voices), strict=False))
    return Script("\n".join(lines), voices[0], speakers)


def read_text(path: Path | None, words: int) -> list[str]:
    """Lines of a file that are not blank, or held-out sentences until they have so many words."""
    if path is not None:
        return [line for line in path.read_text("utf-8").splitlines() if line.strip()]
    chosen: list[str] = []
    for sentence in read_sentences(None, words):
        if sum(len(each.split()) for each in chosen) >= words:
            break
        chosen.append(sentence)
    return chosen


def stream_options(given: Mapping[str, Any]) -> list[StreamOptions]:
    """Every history with every silence and every cross-fade, and the options of --stream."""
    silences, crossfades = given["silences"], given["crossfades"]
    if not silences and not crossfades:
        silences, crossfades = (SILENCE_SECONDS,), (0.1,)
    pauses = [{"silence_seconds": seconds} for seconds in silences]
    pauses += [{"crossfade_seconds": seconds} for seconds in crossfades]
    histories = given["histories"] or HISTORIES
    others = option_values(given["stream"], "stream")
    return [
        StreamOptions(history=history).replace(**pause, **others)
        for history, pause in product(histories, pauses)
    ]


def _error_rates(
    text: str, samples: Samples, rate: int, recognizers: Sequence[Recognizer]
) -> dict[str, float]:
    counts = {each.name: word_errors(text, each.recognize(samples, rate)) for each in recognizers}
    return {name: 100 * count.errors / count.words for name, count in counts.items()}


def _keep(folder: Path | None, sounds: Sequence[Sound]) -> None:
    """Write the sounds under the names of their rows."""
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for row, samples, rate in sounds:
        name = row.name.replace(", ", "-").replace(" ", "-")
        soundfile.write(folder / f"{name}.wav", samples.clip(-1, 1), rate)


if __name__ == "__main__":
    main()
