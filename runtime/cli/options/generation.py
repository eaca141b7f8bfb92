"""Options of generation: one per field of `GenerationOptions`, and presets of them."""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

import click

from bark_onnx.graphs.command_line import Command, grouped_option
from bark_onnx.graphs.errors import OptionsError
from bark_onnx.runtime.options.generation import SAMPLING_PRESETS, GenerationOptions

_DEFAULT_PRESET, _GREEDY = "transformers", "greedy"
_ALL_STAGES = ("temperature", "top_k", "top_p", "do_sample")  # set every stage that has them
_HELP = {
    "warped": "Apply --min-eos-p after temperature and top-k, as Suno's code does.",
    "temperature": "Lower is more predictable, above 0.",
    "top_k": "Sample from this many tokens; 0: from all.",
    "top_p": "Sample from the likeliest tokens with this share; 1: from all.",
    "do_sample": "Sample tokens, or take the most probable.",
    "max_new_tokens": "Maximum length; 50 tokens are about a second.",
    "eos_p": "End once the end is likelier than this.",
}
_option = grouped_option("Generation")


def generation_options(function: Command) -> Command:
    """Add one option per field of `GenerationOptions`, those for all stages, and presets."""
    hints = typing.get_type_hints(GenerationOptions)
    names = [field.name for field in dataclasses.fields(GenerationOptions)]
    for name in reversed([*_ALL_STAGES, *names]):
        kind = typing.get_args(hints[f"coarse_{name}" if name in _ALL_STAGES else name])[0]
        flag = name.replace("_", "-")
        declared = f"--{flag}/--no-{flag}" if kind is bool else f"--{flag}"
        text = next(text for suffix, text in _HELP.items() if name.endswith(suffix))
        if name in _ALL_STAGES:
            text = f"All stages: {text[0].lower()}{text[1:]}"
        function = _option(declared, name, type=kind, default=None, help=text)(function)
    greedy = _option("--greedy", is_flag=True, help="Same as --sampling greedy.")
    presets = _option(
        "--sampling",
        type=click.Choice(list(SAMPLING_PRESETS)),
        default=None,
        show_default=_DEFAULT_PRESET,
        help="Defaults: those of the checkpoint in transformers, those of Suno's code, or greedy.",
    )
    return presets(greedy(function))


def build_generation_options(values: Mapping[str, Any]) -> GenerationOptions:
    """The preset with the options that were given.

    Raises:
        OptionsError: A value is out of range, or two presets were given.
    """
    preset = values["sampling"] or _DEFAULT_PRESET
    if values["greedy"]:
        if values["sampling"] not in (None, _GREEDY):
            raise OptionsError(
                f"--greedy and --sampling {preset} exclude each other; expected one of them"
            )
        preset = _GREEDY
    names = [*_ALL_STAGES, *(field.name for field in dataclasses.fields(GenerationOptions))]
    given = {name: values[name] for name in names if values[name] is not None}
    return SAMPLING_PRESETS[preset]().replace(**given)
