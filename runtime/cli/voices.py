"""bark-onnx voices: list, import and check voices."""

import sys
from pathlib import Path

import click
from click.core import ParameterSource

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.command_line import print_error
from bark_onnx.graphs.errors import BarkError
from bark_onnx.graphs.interrupts import raise_interrupts
from bark_onnx.graphs.voices.voice import Voice
from bark_onnx.runtime.cli.options.common import bundle_option, optional_bundle_option
from bark_onnx.runtime.text.terminal import printable_json
from bark_onnx.runtime.voices.importing import import_voices
from bark_onnx.runtime.voices.inspection import HistoryLimits, describe_voice
from bark_onnx.runtime.voices.library import VoiceInfo, VoiceLibrary


@click.group(invoke_without_command=True)
@optional_bundle_option()
@click.option(
    "--search",
    default="",
    metavar="TEXT",
    help="List only voices of a language (german, de-3), or whose names contain TEXT.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@click.pass_context
def voices(context: click.Context, bundle: str | None, search: str, as_json: bool) -> None:
    """List the voices of a bundle: name, language, length in seconds.

    \b
    Examples:
      bark-onnx voices -m bark-small-onnx --search german
      bark-onnx voices import bark/assets/prompts -m bark-small-onnx
      bark-onnx voices check me.npz
    """
    if context.invoked_subcommand is not None:
        _refuse_misplaced(context, context.invoked_subcommand)
        return
    if bundle is None:
        option = next(each for each in context.command.params if each.name == "bundle")
        raise click.MissingParameter(ctx=context, param=option)
    found = VoiceLibrary(Bundle(bundle)).find(search)
    for line in [_as_json(found)] if as_json else _table(found):
        click.echo(line)


@voices.command("import")
@click.argument(
    "sources", nargs=-1, required=True, metavar="SOURCE...", type=click.Path(path_type=Path)
)
@bundle_option
@click.option("--force", is_flag=True, help="Replace voices of the same name.")
def import_(sources: tuple[Path, ...], bundle: str, force: bool) -> None:
    """Add voices to a bundle: all of them or none.

    SOURCE is an .npz file, named by its stem; a folder of such files, as bark/assets/prompts in
    Suno's repository, whose subfolders become part of the name (v2/en_speaker_6); or a checkpoint
    in the Hugging Face layout, or its speaker_embeddings folder.

    \b
    Example:
      bark-onnx voices import bark/assets/prompts -m bark-small-onnx
    """
    raise_interrupts()
    done = import_voices(bundle, sources, force=force)
    for action, names in (("added", done.added), ("replaced", done.replaced)):
        for name in names:
            click.echo(f"{action} {name}")


@voices.command()
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path)
)
@optional_bundle_option()
def check(files: tuple[Path, ...], bundle: str | None) -> None:
    """Describe .npz files and their anomalies.

    Exits with status 1 if a file is not a voice. With a bundle, also checks that its checkpoint
    has every token.

    \b
    Example:
      bark-onnx voices check me.npz -m bark-small-onnx
    """
    settings = Bundle(bundle).manifest.generation if bundle is not None else None
    limits = HistoryLimits() if settings is None else HistoryLimits.of(settings)
    failures = 0
    for file in files:
        try:
            voice = Voice.load(file)
            if settings is not None:
                voice.check(settings)
        except BarkError as error:
            print_error(f"bark-onnx: {error}")
            failures += 1
        else:
            for line in describe_voice(voice, limits):
                click.echo(line)
    if failures:
        sys.exit(1)


def _refuse_misplaced(context: click.Context, subcommand: str) -> None:
    """Raise an error for options of the list that would have no effect on a subcommand."""
    for option in context.command.params:
        assert option.name is not None
        if context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"{option.opts[-1]} before {subcommand} applies to the list of voices; give the "
                f"options of {subcommand} after {subcommand}",
                ctx=context,
            )


def _table(entries: list[VoiceInfo]) -> list[str]:
    """One line per voice."""
    names = [entry.name for entry in entries]
    languages = [str(entry.language or "unknown") for entry in entries]
    lengths = ["damaged" if each.seconds is None else f"{each.seconds:.1f} s" for each in entries]
    columns = (names, languages, lengths)
    first, second, third = (max(map(len, column), default=0) for column in columns)
    return [
        f"{name:{first}}  {language:{second}}  {length:>{third}}"
        for name, language, length in zip(*columns, strict=True)
    ]


def _as_json(entries: list[VoiceInfo]) -> str:
    records = [
        {
            "name": entry.name,
            "language": entry.language.code if entry.language else None,
            "language_name": entry.language.name if entry.language else None,
            "seconds": None if entry.seconds is None else round(entry.seconds, 3),
        }
        for entry in entries
    ]
    return printable_json(records, indent=2)
