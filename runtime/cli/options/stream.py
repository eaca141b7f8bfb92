"""Options that say how a long text is read, and how clean: keywords of `Bark.stream`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import click

from bark_onnx.runtime.options.stream import HISTORIES, StreamOptions, check_positive
from bark_onnx.runtime.text.languages import LANGUAGE_CODES
from bark_onnx.runtime.text.segments import MAX_SECONDS

_OPTIONS = (
    click.option(
        "--language",
        type=click.Choice(LANGUAGE_CODES),
        help="Whose sentences to tell apart; default: recognised.",
    ),
    click.option(
        "--max-seconds",
        type=float,
        default=MAX_SECONDS,
        show_default=True,
        help="Length of a piece of a long text, estimated.",
    ),
    click.option(
        "--history",
        type=click.Choice(HISTORIES),
        default="voice",
        show_default=True,
        help="Say each piece with the voice, or go on from the previous piece.",
    ),
    click.option(
        "--silence-seconds",
        "silence_seconds",
        type=float,
        help="Seconds between pieces; default: 0.25.",
    ),
    click.option(
        "--crossfade-seconds",
        "crossfade_seconds",
        type=float,
        default=0.0,
        help="Seconds by which pieces overlap instead.",
    ),
    click.option(
        "--concurrency",
        type=int,
        help="Pieces, or with --lines lines, said at the same time; default: 8, for pieces with "
        "--continuity previous 1.",
    ),
    click.option(
        "--attempts",
        type=int,
        default=1,
        show_default=True,
        help="Tries per piece, until it is not silent, clipped or too long.",
    ),
    click.option("--trim", is_flag=True, help="Cut silence off the ends of each piece."),
    click.option("--limit-duration", is_flag=True, help="End a piece when its text is said."),
    click.option(
        "--normalize-peak", type=float, help="Scale each piece to this loudest sample, at most 1."
    ),
)
_TOGETHER = 8  # what a `Bark` decodes at a time unless told otherwise
READING = tuple(field.name for field in fields(StreamOptions))


def reading_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add one option per name in `READING`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@dataclass(frozen=True)
class Settled:
    """Options of reading, checked and complete."""

    lines_together: int  # texts that are said at the same time
    keywords: dict[str, Any]  # of `Bark.stream`, for each


def settle_reading(given: Mapping[str, Any], *, is_lines: bool) -> Settled:
    """Fill in what was left open, and check it before any work is done.

    Args:
        given: values by the names in `READING`.
        is_lines: lines are said together, and the pieces of each one after the other; otherwise
            the pieces of a single text are.

    Raises:
        OptionsError: a value is out of range, or two exclude each other.
    """
    default = _TOGETHER if is_lines or given["history"] != "previous" else 1
    together = default if given["concurrency"] is None else given["concurrency"]
    lines, pieces = (together, 1) if is_lines else (1, together)
    keywords = {**given, "concurrency": pieces}
    check_positive("concurrency", lines)
    StreamOptions(**keywords)
    return Settled(lines, keywords)
