"""Options of long text: one per field of `StreamOptions`."""

import dataclasses
from collections.abc import Mapping
from typing import Any, get_args

import click

from bark_onnx.graphs.command_line import Command, grouped_option
from bark_onnx.runtime.cli.options.common import values_of
from bark_onnx.runtime.options.stream import HISTORIES, StreamOptions, check_positive
from bark_onnx.runtime.text.languages import LANGUAGE_CODES

_CONCURRENCY = 8  # the default of --concurrency, as max_batch_size of `Bark.load`
_LONG_TEXT = {
    "language": f"Language of the text: {', '.join(LANGUAGE_CODES)}. Default: detected.",
    "max_seconds": "Estimated length of a segment. Default: the checkpoint's, 13 for Suno's.",
    "history": "What a segment continues: the voice, the previous segment, or the first one.",
    "silence_seconds": "Silence between segments. Default: 0.25.",
    "crossfade_seconds": "Overlap of segments, instead of silence.",
    "concurrency": "Segments (with --lines: lines) generated in parallel. Default: 8; 1 with "
    "--history previous.",
}
_QUALITY = {
    "attempts": "Attempts per segment until one is not silent, clipped or too long.",
    "trim": "Cut silence off both ends of each segment.",
    "limit_duration": "Stop a segment early if it runs far longer than its text.",
    "normalize_peak": "Scale each segment to this peak, at most 1.",
}
_HIDDEN = {"seed_bits": "Length of segments' seeds; 64 repeats files of earlier versions."}
_CHOICES = {"language": click.Choice(LANGUAGE_CODES), "history": click.Choice(HISTORIES)}


def stream_options(function: Command) -> Command:
    """Add one option per field of `StreamOptions`."""
    for field in reversed(dataclasses.fields(StreamOptions)):
        name = field.name
        function = grouped_option("Long text" if name in _LONG_TEXT else "Quality")(
            f"--{name.replace('_', '-')}",
            type=_CHOICES.get(name) or (get_args(field.type) or [field.type])[0],
            is_flag=field.type is bool,
            default=None if name == "concurrency" else field.default,
            show_default=name in ("history", "attempts"),
            metavar="CODE" if name == "language" else None,
            hidden=name in _HIDDEN,
            help=(_LONG_TEXT | _QUALITY | _HIDDEN)[name],
        )(function)
    return function


def build_stream_options(values: Mapping[str, Any], *, has_lines: bool) -> StreamOptions:
    """Stream options of one text; with --lines, segments run one after the other."""
    concurrency = values["concurrency"]
    if has_lines or (concurrency is None and values["history"] == "previous"):
        concurrency = 1
    elif concurrency is None:
        concurrency = _CONCURRENCY
    return StreamOptions(**{**values_of(StreamOptions, values), "concurrency": concurrency})


def line_concurrency(values: Mapping[str, Any]) -> int:
    """Number of lines generated in parallel."""
    concurrency: int | None = values["concurrency"]
    if concurrency is None:
        return _CONCURRENCY
    check_positive("concurrency", concurrency)
    return concurrency
