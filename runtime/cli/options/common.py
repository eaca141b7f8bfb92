"""Options that several commands share: the bundle, and how speech is generated."""

import dataclasses
import typing
from collections.abc import Callable

import click

from bark_onnx.runtime.options.generation import GenerationOptions

_UNPREFIXED = ("temperature", "top_k", "top_p", "do_sample")  # set every stage that has them
_HELP = {
    "warped": "Compare --min-eos-p with the chance of drawing the end, as Suno does.",
    "temperature": "Below 1 is safer, above 1 wilder.",
    "top_k": "Draw among this many tokens; 0: among all.",
    "top_p": "Draw among the likeliest tokens with this share.",
    "do_sample": "Draw tokens, or always take the most probable.",
    "max_new_tokens": "Longest utterance, about 50 tokens a second.",
    "eos_p": "End as soon as ending is likelier than this.",
}

Command = Callable[..., None]


def _bundle_option(*, required: bool) -> Callable[[Command], Command]:
    return click.option(
        "-m",
        "--model",
        "bundle",
        required=required,
        type=click.Path(),
        envvar="BARK_ONNX_MODEL",
        metavar="BUNDLE",
        help="A bundle's folder or hub id (or set BARK_ONNX_MODEL).",
    )


bundle_option = _bundle_option(required=True)
optional_bundle_option = _bundle_option(required=False)


def generation_options(function: Command) -> Command:
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
