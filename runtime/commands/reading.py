"""Options that say how a long text is read, and how clean: keywords of `Bark.stream`."""

from collections.abc import Callable, Mapping
from typing import Any

import click

from bark_onnx.runtime.reading import CONTINUITIES, Reading
from bark_onnx.runtime.takes import Cleaning
from bark_onnx.runtime.text.pieces import MAX_SECONDS
from bark_onnx.runtime.text.sentences import LANGUAGES

_OPTIONS = (
    click.option(
        "--language",
        type=click.Choice(LANGUAGES),
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
        "--continuity",
        type=click.Choice(CONTINUITIES),
        default="voice",
        show_default=True,
        help="Say each piece with the voice, or go on from the previous piece.",
    ),
    click.option(
        "--silence",
        "silence_seconds",
        type=float,
        help="Seconds between pieces; default: 0.25.",
    ),
    click.option(
        "--crossfade",
        "crossfade_seconds",
        type=float,
        default=0.0,
        help="Seconds by which pieces overlap instead.",
    ),
    click.option(
        "--together",
        type=int,
        help="Pieces, or with --lines lines, said at the same time; default: 8, for pieces with "
        "--continuity previous 1.",
    ),
    click.option(
        "--takes",
        type=int,
        default=1,
        show_default=True,
        help="Tries per piece, until it is not silent, clipped or too long.",
    ),
    click.option("--trim", is_flag=True, help="Cut silence off the ends of each piece."),
    click.option("--stop-babble", is_flag=True, help="End a piece when its text is said."),
    click.option("--peak", type=float, help="Scale each piece to this loudest sample, at most 1."),
)
_TOGETHER = 8  # what a `Bark` decodes at a time unless told otherwise
READING = (
    *("language", "max_seconds", "continuity", "silence_seconds", "crossfade_seconds", "together"),
    *("takes", "trim", "stop_babble", "peak"),
)


def reading_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add one option per name in `READING`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def settle_together(reading: Mapping[str, Any], *, is_lines: bool) -> int:
    """How much is said at a time; checks everything else on the way, before any work is done.

    Args:
        reading: values by the names in `READING`.
        is_lines: lines are said at a time, and the pieces of each one after the other.

    Raises:
        OptionsError: a value is out of range, or two exclude each other.
    """
    Cleaning(*(reading[name] for name in ("takes", "trim", "stop_babble", "peak")))
    default = _TOGETHER if is_lines or reading["continuity"] == "voice" else 1
    together: int = default if reading["together"] is None else reading["together"]
    Reading(together=together)
    follow = ("continuity", "silence_seconds", "crossfade_seconds")
    Reading(**{name: reading[name] for name in follow}, together=1 if is_lines else together)
    return together
