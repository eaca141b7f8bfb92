"""Options of generation: one per field of `GenerationOptions`, and presets of them."""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

import click

from bark_onnx.graphs.command_line import Command, grouped_option
from bark_onnx.graphs.errors import OptionsError
from bark_onnx.runtime.cli.options.common import ALL_STAGES
from bark_onnx.runtime.options.generation import SAMPLING_PRESETS, GenerationOptions

_DEFAULT_PRESET, _GREEDY = "transformers", "greedy"
_STAGE_NAMES = {
    "semantic": "Words and melody",
    "coarse": "Sound of the voice",
    "fine": "Details of the sound",
}
_HELP = {
    "warped": "Compare --min-eos-p with the probability after temperature, top-k and top-p, as "
    "Suno's code does.",
    "temperature": "Lower is more predictable, above 0.",
    "top_k": "Sample from this many tokens; 0: from all.",
    "top_p": "Sample from the likeliest tokens with this share, at most 1; 1: from all.",
    "do_sample": "Sample tokens, or take the most probable.",
    "max_new_tokens": "Maximum length of a segment in tokens, 50 a second.",
    "eos_p": "End a segment once its end is likelier than this.",
}
_DEFAULTS = {  # of Suno's checkpoints
    "semantic_temperature": "0.7",
    "semantic_top_k": "50",
    "semantic_top_p": "1",
    "semantic_max_new_tokens": "768",
    "min_eos_p": "never",
    "coarse_temperature": "0.7",
    "coarse_top_k": "50",
    "coarse_top_p": "1",
    "fine_temperature": "0.5",
}
_option = grouped_option("Generation")


def generation_options(function: Command) -> Command:
    """Add one option per field of `GenerationOptions`, those for all stages, and presets."""
    hints = typing.get_type_hints(GenerationOptions)
    names = [field.name for field in dataclasses.fields(GenerationOptions)]
    for name in reversed([*ALL_STAGES, *names]):
        kind = typing.get_args(hints[f"coarse_{name}" if name in ALL_STAGES else name])[0]
        flag = name.replace("_", "-")
        declared = f"--{flag}/--no-{flag}" if kind is bool else f"--{flag}"
        function = _option(declared, name, type=kind, default=None, help=_help(name))(function)
    greedy = _option("--greedy", is_flag=True, help="Same as --sampling greedy.")
    presets = _option(
        "--sampling",
        type=click.Choice(list(SAMPLING_PRESETS)),
        default=None,
        show_default=_DEFAULT_PRESET,
        help="transformers: the checkpoint's settings, which for Suno's are the defaults below; "
        "suno: those of Suno's own code; greedy: always the most probable token.",
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
    names = [*ALL_STAGES, *(field.name for field in dataclasses.fields(GenerationOptions))]
    given = {name: values[name] for name in names if values[name] is not None}
    return SAMPLING_PRESETS[preset]().replace(**given)


def _help(name: str) -> str:
    text = next(text for suffix, text in _HELP.items() if name.endswith(suffix))
    stage = "All stages" if name in ALL_STAGES else _STAGE_NAMES.get(name.partition("_")[0])
    if stage is not None:
        text = f"{stage}: {text[0].lower()}{text[1:]}"
    return f"{text} Default: {_DEFAULTS[name]}." if name in _DEFAULTS else text
