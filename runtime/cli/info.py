"""bark-onnx info: describes a bundle, or the provenance of a sound file."""

import dataclasses
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.bundle.manifest import TOKENIZER_GRAPH_NAME, WORDS_NAME
from bark_onnx.graphs.bundle.tokenizer_graph import tokenizer_contract
from bark_onnx.graphs.contract import STAGES, GraphContract
from bark_onnx.graphs.errors import AudioError, OptionsError, printable
from bark_onnx.graphs.files.dataclass_json import SchemaError
from bark_onnx.runtime.audio.files.formats import SUFFIXES, replay_path
from bark_onnx.runtime.cli.options.common import BUNDLE_HELP, optional_bundle_option
from bark_onnx.runtime.provenance.provenance import Provenance, VoiceRef
from bark_onnx.runtime.provenance.replay import find_bundle, replay_command, replay_warnings
from bark_onnx.runtime.provenance.tags import read_tags
from bark_onnx.runtime.text.terminal import excerpt, one_line, printable_json

_MAX_CHARACTERS = 200  # of a text
_DIGEST_DIGITS = 12


@click.command()
@click.argument("path", metavar="[FILE|BUNDLE]", required=False)
@optional_bundle_option(help=f"{BUNDLE_HELP}; with FILE: the bundle to regenerate it with.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--text", "only_text", is_flag=True, help="Print only the text of FILE.")
@click.option(
    "--command", "only_command", is_flag=True, help="Print only the command that regenerates FILE."
)
@click.pass_context
def info(
    context: click.Context,
    path: str | None,
    bundle: str | None,
    as_json: bool,
    only_text: bool,
    only_command: bool,
) -> None:
    """Describe a bundle, or how a sound file was generated.

    For a bundle: the inputs and outputs of each graph. For a sound file that `bark-onnx speak`
    wrote: text, voice, seed and settings, and the command that generates it again.

    \b
    Examples:
      bark-onnx info -m bark-small-onnx
      bark-onnx info hello.wav
      bark-onnx info hello.wav --command | sh
      bark-onnx info hello.wav --text > hello.txt
    """
    if as_json + only_text + only_command > 1:
        raise OptionsError("--json, --text and --command exclude each other; expected one of them")
    is_given = context.get_parameter_source("bundle") is ParameterSource.COMMANDLINE
    if path is not None and _is_sound(Path(path)):
        provenance = read_provenance(Path(path))
        # The recorded one rather than that of the environment.
        recorded = None if is_given else find_bundle(provenance.bundle)
        used = recorded or bundle
        _print_sound(Path(path), provenance, used, as_json, only_text, only_command)
        return
    if only_text or only_command:
        raise OptionsError("--text and --command are for sound files; expected a FILE")
    if path is not None and is_given:
        raise OptionsError(f"Found two bundles, {path} and {bundle}; expected one of them")
    if path is None and bundle is None:
        raise click.UsageError("No input; give a sound file or --model BUNDLE", context)
    opened = Bundle(path or str(bundle))
    if as_json:
        click.echo(opened.manifest.to_json(), nl=False)
    else:
        print_bundle(opened)


def read_provenance(path: Path) -> Provenance:
    """The provenance of a sound file.

    Raises:
        AudioError: The file is missing or damaged, or has no provenance.
    """
    try:
        provenance = Provenance.from_json(read_tags(path).comment)
    except SchemaError as error:
        raise AudioError(
            f"{path}: its metadata cannot be read ({error}); it is damaged, or from a newer "
            "bark-onnx"
        ) from error
    if provenance is None:
        raise AudioError(
            f"{path} has no provenance; expected a file that bark-onnx speak wrote without "
            "--no-metadata"
        )
    return provenance


def _is_sound(path: Path) -> bool:
    return path.is_file() or (path.suffix.lower() in SUFFIXES and not path.exists())


def _print_sound(
    path: Path,
    provenance: Provenance,
    bundle: str | None,
    as_json: bool,
    only_text: bool,
    only_command: bool,
) -> None:
    if only_text:
        if provenance.text is None:
            raise AudioError(f"{path} lacks its text, which was too long for the file")
        click.echo(provenance.text.encode(), nl=False)
        return
    if only_command and bundle is None:
        raise AudioError(
            f"{path}: the bundle that generated it, {provenance.bundle.path}, is not here; name it "
            "with -m"
        )
    command = replay_command(provenance, path, replay_path(path), bundle=bundle)
    if only_command:
        click.echo(command)
        return
    warnings = list(replay_warnings(provenance, bundle=bundle))
    if as_json:
        fields = dataclasses.asdict(provenance)
        data = {"file": str(path), **fields, "command": command, "warnings": warnings}
        click.echo(printable_json(data, indent=2))
    else:
        _print_provenance(path, provenance, warnings)
        click.echo(f"\nTo generate it again:\n{command}")


def _print_provenance(path: Path, provenance: Provenance, warnings: list[str]) -> None:
    used, rate = provenance.bundle, provenance.sample_rate_hz
    rows: list[tuple[str, str]] = [
        ("file", printable(str(path))),
        ("software", f"{provenance.software}, onnxruntime {used.onnxruntime}"),
        ("bundle", f"{used.path}: {used.source}, {used.precision}, {used.fingerprint}"),
        ("provider", used.provider),
        ("text", _shorten(provenance.text)),
        ("voice", _show_voice(provenance.voice)),
        *(
            ("speaker", f"{name}: {_show_voice(voice)}")
            for name, voice in provenance.speakers.items()
        ),
        ("seed", str(provenance.seed)),
        *(("generation", f"{name} {value}") for name, value in provenance.generation.items()),
        *(("stream", f"{name} {value}") for name, value in provenance.stream.items()),
        *([("converted", f"to {rate} Hz")] if rate else []),
        *(("warning", warning) for warning in warnings),
    ]
    for name, value in rows:
        click.echo(f"{name:12}{value}")


def _shorten(text: str | None) -> str:
    if text is None:
        return "not in the file"
    line = one_line(text)
    if len(line) <= _MAX_CHARACTERS:
        return line
    return f"{excerpt(line, _MAX_CHARACTERS)} ({len(text)} characters)"


def _show_voice(voice: VoiceRef | None) -> str:
    if voice is None:
        return "none"
    digest = f"sha256 {voice.sha256[:_DIGEST_DIGITS]}…" if voice.sha256 else "given as arrays"
    return f"{voice.name or 'unnamed'} ({digest})"


def print_bundle(opened: Bundle) -> None:
    """Print the manifest of a bundle, and the inputs and outputs of its graphs."""
    manifest = opened.manifest
    size = sum(record.size for record in manifest.files.values())
    rows: list[tuple[str, Any]] = [
        ("bundle", printable(str(opened.folder))),
        ("source", one_line(manifest.source)),
        ("exporter", one_line(manifest.exporter)),
        ("precisions", ", ".join(manifest.precisions)),
        ("attention", manifest.attention),
        ("opset", f"{manifest.opset}, codec {manifest.codec_opset}"),
        ("size", f"{size / 1e6:.1f} MB in {len(manifest.files)} files"),
        ("voices", len(opened.voice_names())),
        ("audio", f"{manifest.shapes.codec.sample_rate_hz} Hz"),
    ]
    if words := opened.known_words():
        rows.append(
            ("words", f"{len(words)} known, in {printable(str(opened.folder / WORDS_NAME))}")
        )
    for graph, cases in manifest.parity.items():
        largest = max(case.largest_difference for case in cases)
        difference = f"{largest:.1e} from PyTorch over {len(cases)} inputs"
        rows.append(("parity", f"{one_line(graph)}: {difference}"))
    for graph, error in manifest.precision_errors.items():
        rows.append(("error", f"{one_line(graph)}: {error}"))
    for name, value in rows:
        click.echo(f"{name:12}{value}")
    _print_graphs(opened)


def _print_graphs(opened: Bundle) -> None:
    if opened.tokenizer_graph() is not None:
        semantic = opened.manifest.generation.semantic, opened.manifest.shapes.semantic
        _print_contract(TOKENIZER_GRAPH_NAME, tokenizer_contract(*semantic))
    for stage in STAGES:
        precisions: dict[GraphContract, list[str]] = {}
        for name in opened.manifest.precisions:
            precisions.setdefault(opened.contract(stage, name), []).append(name)
        for contract, names in precisions.items():
            where = f"{','.join(names)}/" if len(precisions) > 1 else ""
            _print_contract(f"{where}{stage}.onnx", contract)


def _print_contract(graph: str, contract: GraphContract) -> None:
    click.echo(f"\n{graph} (contract {contract.version})")
    for direction, tensors in (("in ", contract.inputs), ("out", contract.outputs)):
        for tensor in tensors:
            click.echo(f"  {direction} {tensor} - {tensor.meaning}")
