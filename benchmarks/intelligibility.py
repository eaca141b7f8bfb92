"""How well a bundle speaks: words, endings, length, pitch, hum, speakers and speed.

The bundle says sentences with its own settings, its voices in turn. Two recognizers write down
what they understand. The recordings of the voices' teachers, where they are known, are what the
bundle can reach. Prints a table; the last line is one JSON object.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.errors import BarkError

try:
    from recognition.measures import Figures, Measured, embeddings_by_speaker, measure, summarize
    from recognition.report import SENTENCE_COLUMNS, table
    from recognition.report import keep as keep_files
    from recognition.setup import (
        bundle_options,
        choose_voices,
        generation_options,
        load_bundle,
        open_recognizers,
        open_teachers,
        read_sentences,
        write_result,
    )
    from recognition.speakers import ResemblyzerEmbedder, distinction
    from recognition.transformers_speech import generate_with_transformers
    from recognition.utterances import dealt, generate, record
except ModuleNotFoundError as error:
    raise SystemExit(f"Error: {error}") from error

DEMO_CHECKPOINT = Path(__file__).parents[1] / "export" / "demo" / "checkpoint"


@click.command()
@bundle_options
@click.option(
    "--sentences",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Sentences, one a line; default: the demo's that it did not learn from.",
)
@click.option("--count", type=click.IntRange(min=1), default=200, show_default=True)
@click.option("--voice", "voices", multiple=True, help="Default: those with a teacher.")
@click.option(
    "--transformers",
    "dtype",
    type=click.Choice(("fp32", "fp16", "bf16")),
    help="Say the sentences with transformers in this type, rather than with the bundle.",
)
@click.option(
    "--checkpoint",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=DEMO_CHECKPOINT,
    help="Checkpoint of the bundle, for --transformers; default: the demo's.",
)
def main(path: Path | None, count: int, voices: Sequence[str], **given: Any) -> None:
    """Measure how well a bundle speaks."""
    try:
        _measure_bundle(path, count, voices, given)
    except BarkError as error:
        raise click.ClickException(str(error)) from error


def _measure_bundle(
    path: Path | None, count: int, voices: Sequence[str], given: Mapping[str, Any]
) -> None:
    sentences = read_sentences(path, count)
    recognizers = open_recognizers(given["recognizers"], given["trigrams"], sentences)
    options = generation_options(given["options"])
    with load_bundle(given) as bark:
        said = dealt(sentences, choose_voices(voices, bark, given["teachers"]))
        teachers = open_teachers(given, bark, [voice for _, voice in said])
        info = bark.describe()
        if given["dtype"] is None:
            utterances = generate(bark, said, given["seed"], options)
        else:
            bundle = Bundle(given["model"], verify=False)
            utterances = generate_with_transformers(
                given["checkpoint"], given["dtype"], bundle, said, given["seed"]
            )
    recordings = record(said, teachers)
    embedder = ResemblyzerEmbedder()
    rows = measure(utterances, recognizers, embedder, "the bundle")
    known = [recording for recording in recordings if recording is not None]
    measured = iter(measure(known, recognizers, embedder, "the teachers"))
    references = [None if recording is None else next(measured) for recording in recordings]
    if given["keep"] is not None:
        keep_files(given["keep"] / "bundle", rows)
        keep_files(given["keep"] / "teachers", [row for row in references if row is not None])
    figures = _figures(rows, references)
    speakers = _speakers(rows, references)
    for line in [
        *table(figures, SENTENCE_COLUMNS),
        *(f"{name}: {share:.1%}" for name, share in speakers.items()),
    ]:
        click.echo(line)
    result = {
        "transformers": given["dtype"],
        "teachers": {voice: teacher.voice for voice, teacher in teachers.items()},
        "rows": [asdict(figure) for figure in figures],
        "speakers": speakers,
    }
    write_result(result, info, given)


def _figures(rows: Sequence[Measured], references: Sequence[Measured | None]) -> list[Figures]:
    """Figures of the bundle and of the teachers: of all sentences, then of each voice."""
    voices = list(dict.fromkeys(row.utterance.speaker for row in rows))
    found = []
    for name in ["", *(voices if len(voices) > 1 else [])]:
        chosen = [
            (row, reference)
            for row, reference in zip(rows, references, strict=True)
            if not name or row.utterance.speaker == name
        ]
        own, others = [row for row, _ in chosen], [reference for _, reference in chosen]
        found.append(summarize(f"bundle {name}".strip(), own, others))
        if taught := [other for other in others if other is not None]:
            found.append(summarize(f"teacher {name}".strip(), taught, [None] * len(taught)))
    return found


def _speakers(rows: Sequence[Measured], references: Sequence[Measured | None]) -> dict[str, float]:
    """Shares of comparisons in which the same speaker is more alike than another."""
    own = embeddings_by_speaker(rows)
    taught = embeddings_by_speaker([row for row in references if row is not None])
    shares = {
        "same speaker more alike, of the bundle's voices": distinction(own),
        "likewise, of the teachers": distinction(taught),
        "own teacher more alike than another": distinction(own, taught),
    }
    return {name: share for name, share in shares.items() if share == share}  # NaN: one speaker


if __name__ == "__main__":
    main()
