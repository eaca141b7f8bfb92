"""Options of long text: one per field of `StreamOptions`."""

from collections.abc import Mapping
from typing import Any

import click

from bark_onnx.graphs.command_line import add_options, grouped_option
from bark_onnx.runtime.cli.options.common import values_of
from bark_onnx.runtime.options.stream import HISTORIES, StreamOptions, check_positive
from bark_onnx.runtime.text.languages import LANGUAGE_CODES

_CONCURRENCY = 8  # the default of --concurrency, as max_batch_size of `Bark.load`
_DEFAULTS = StreamOptions()
_text_option = grouped_option("Long text")
_quality_option = grouped_option("Quality")

stream_options = add_options(
    _text_option(
        "--language",
        type=click.Choice(LANGUAGE_CODES),
        metavar="CODE",
        help=f"Language of the text: {', '.join(LANGUAGE_CODES)}. Default: detected.",
    ),
    _text_option(
        "--max-seconds",
        type=float,
        default=_DEFAULTS.max_seconds,
        show_default=True,
        help="Estimated length of a segment.",
    ),
    _text_option(
        "--history",
        type=click.Choice(HISTORIES),
        default=_DEFAULTS.history,
        show_default=True,
        help="What a segment continues: the voice, the previous segment, or the first one.",
    ),
    _text_option("--silence-seconds", type=float, help="Silence between segments. Default: 0.25."),
    _text_option(
        "--crossfade-seconds",
        type=float,
        default=_DEFAULTS.crossfade_seconds,
        help="Overlap of segments, instead of silence.",
    ),
    _text_option(
        "--concurrency",
        type=int,
        help="Segments (with --lines: lines) generated in parallel. Default: 8; 1 with --history "
        "previous.",
    ),
    _quality_option(
        "--attempts",
        type=int,
        default=_DEFAULTS.attempts,
        show_default=True,
        help="Attempts per segment until one is not silent, clipped or too long.",
    ),
    _quality_option("--trim", is_flag=True, help="Cut silence off both ends of each segment."),
    _quality_option(
        "--limit-duration",
        is_flag=True,
        help="Stop a segment early if it runs far longer than its text.",
    ),
    _quality_option(
        "--normalize-peak", type=float, help="Scale each segment to this peak, at most 1."
    ),
)


def build_stream_options(values: Mapping[str, Any], *, has_lines: bool) -> StreamOptions:
    """Stream options of one text; with --lines, segments run one after the other.

    Raises:
        OptionsError: A value is out of range, or two exclude each other.
    """
    concurrency = values["concurrency"]
    if has_lines or (concurrency is None and values["history"] == "previous"):
        concurrency = 1
    elif concurrency is None:
        concurrency = _CONCURRENCY
    return StreamOptions(**{**values_of(StreamOptions, values), "concurrency": concurrency})


def line_concurrency(values: Mapping[str, Any]) -> int:
    """Number of lines generated in parallel.

    Raises:
        OptionsError: The value is out of range.
    """
    concurrency: int | None = values["concurrency"]
    if concurrency is None:
        return _CONCURRENCY
    check_positive("concurrency", concurrency)
    return concurrency
