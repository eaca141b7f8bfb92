"""What a measurement needs, from the command line: sentences, recognizers, teachers."""

import json
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from machine import describe_machine

from bark_onnx.runtime import Bark, BarkInfo
from recognition.normalization import spoken_words
from recognition.recognizers import Recognizer, SphinxRecognizer, WhisperRecognizer
from recognition.teachers import DEMO_TEACHERS, Flite

RECOGNIZERS = ("whisper", "pocketsphinx")
_ORIGIN = ("source", "precision", "provider", "threads")
_TRIGRAM_SENTENCES = 4_000
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OPTIONS = (
    click.option("-m", "--model", default="demo", show_default=True, help="Bundle."),
    click.option("--precision", help="Default: the fastest."),
    click.option("--provider", type=click.Choice(("cpu", "cuda")), default="cpu"),
    click.option("--threads", type=int, default=2, show_default=True),
    click.option("--seed", type=int, default=0, show_default=True),
    click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="Of generation."),
    click.option(
        "--recognizer",
        "recognizers",
        type=click.Choice(RECOGNIZERS),
        multiple=True,
        default=RECOGNIZERS,
        show_default=True,
    ),
    click.option(
        "--trigrams",
        type=_FILE,
        help="Sentences, one a line, whose order of words pocketsphinx knows; default: "
        "the demo's, others than those that are measured.",
    ),
    click.option("--teachers/--no-teachers", "with_teachers", default=True, show_default=True),
    click.option(
        "--teacher",
        "teachers",
        multiple=True,
        metavar="VOICE=FLITE",
        help="Voice of Festival Lite that a voice learnt from; default: the demo's.",
    ),
    click.option("--keep", type=click.Path(path_type=Path), help="Folder for the sounds."),
    click.option("--output", type=click.Path(path_type=Path), help="File for the JSON."),
)


def bundle_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that select a bundle, how it runs, the recognizers and the teachers."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def load_bundle(given: Mapping[str, Any]) -> Bark:
    """The bundle that the options of `bundle_options` select; it says one thing at a time."""
    return Bark.load(
        given["model"],
        provider=given["provider"],
        precision=given["precision"],
        threads=given["threads"],
        max_batch_size=1,
    )


def write_result(result: Mapping[str, Any], bark: BarkInfo, given: Mapping[str, Any]) -> None:
    """Print a result with its machine, bundle and options as JSON, and write it to --output."""
    origin = {"bundle": given["model"], **{name: getattr(bark, name) for name in _ORIGIN}}
    origin |= {"seed": given["seed"], "options": generation_options(given["options"])}
    text = json.dumps({"machine": describe_machine(), **origin, **result})
    if given["output"] is not None:
        given["output"].write_text(text + "\n")
    click.echo(text)


def parse_pairs(pairs: Sequence[str], name: str) -> dict[str, str]:
    """Pairs NAME=VALUE of an option."""
    for pair in pairs:
        if not all(pair.partition("=")):
            raise click.UsageError(f"--{name} is {pair!r}; expected two names with = between them")
    return {key: value for key, _, value in (pair.rpartition("=") for pair in pairs)}


def generation_options(pairs: Sequence[str]) -> dict[str, Any]:
    """Values of generation options by name."""
    return option_values(pairs, "option")


def option_values(pairs: Sequence[str], option: str) -> dict[str, Any]:
    """Values by name, from the pairs of an option, whose values are JSON."""
    found = {}
    for name, value in parse_pairs(pairs, option).items():
        try:
            found[name] = json.loads(value)
        except ValueError as error:
            raise click.UsageError(
                f"--{option} {name} is {value!r}; expected a number, true, false or null"
            ) from error
    return found


def read_sentences(path: Path | None, count: int) -> list[str]:
    """The first sentences of a file, one a line, or of those that the demo never learnt from."""
    if path is None:
        return _generator("--sentences FILE").held_out_sentences(count)
    sentences = [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    if not sentences:
        raise click.UsageError(f"{path} is empty; expected a sentence in each line")
    return sentences[:count]


def open_recognizers(
    names: Sequence[str], trigrams: Path | None, sentences: Sequence[str]
) -> list[Recognizer]:
    """Recognizers by name.

    Args:
        names: Names of RECOGNIZERS.
        trigrams: File of sentences for pocketsphinx; None for the demo's.
        sentences: Sentences that are measured: pocketsphinx knows their words, not their order.
    """
    made: list[Recognizer] = []
    if "whisper" in names:
        made.append(WhisperRecognizer())
    if "pocketsphinx" in names:
        sphinx = SphinxRecognizer(_trigram_sentences(trigrams, set(sentences)), sentences)
        if sphinx.missing_words:
            missing = ", ".join(sphinx.missing_words)
            click.echo(f"words that pocketsphinx cannot find: {missing}", err=True)
        made.append(sphinx)
    return made


def open_teachers(given: Mapping[str, Any], bark: Bark, voices: Sequence[str]) -> dict[str, Flite]:
    """Teachers by voice: those of --teacher or else the demo's; none with --no-teachers.

    Args:
        given: Options of the command line.
        bark: The bundle.
        voices: Voices that are measured.
    """
    if not given["with_teachers"]:
        return {}
    named: Mapping[str, str] = parse_pairs(given["teachers"], "teacher")
    if not named and bark.describe().source == "demo":
        named = DEMO_TEACHERS
    return {voice: Flite(named[voice]) for voice in voices if voice in named}


def choose_voices(given: Sequence[str], bark: Bark, teachers: Sequence[str]) -> list[str]:
    """Voices of the command line, or those with a teacher, or the bundle's first two."""
    named = parse_pairs(teachers, "teacher") or DEMO_TEACHERS
    taught = [voice for voice in bark.voices if voice in named]
    return list(given or taught or bark.voices[:2] or [""])


def _trigram_sentences(path: Path | None, measured: set[str]) -> list[str]:
    """Sentences for pocketsphinx: half of training's frames, half of the measured ones' frames."""
    if path is not None:
        lines = [line for line in path.read_text("utf-8").splitlines() if line not in measured]
        if not any(map(spoken_words, lines)):
            raise click.UsageError(
                f"{path} has no sentences besides those that are measured; expected some thousands "
                "of the same words"
            )
        return lines
    generator, half = _generator("--trigrams FILE"), _TRIGRAM_SENTENCES // 2
    others = [text for text in generator.held_out_sentences(half, 1) if text not in measured]
    return [*generator.make_sentences(half, 1, exclude=measured), *others]


def _generator(remedy: str) -> Any:
    """The module that makes the demo's sentences."""
    try:
        return import_module("bark_onnx.export.demo.sentences")
    except ImportError as error:
        raise click.UsageError(
            f"the demo's sentences cannot be imported ({error}); expected {remedy}"
        ) from error
