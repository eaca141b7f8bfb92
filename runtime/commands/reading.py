"""Options that say how a long text is read, and how clean: keywords of `Bark.stream`."""

from collections.abc import Callable

import click

from bark_onnx.runtime.reading import CONTINUITIES
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
        help="Pieces said at the same time; default: 8, with --continuity previous 1.",
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
READING = (
    *("language", "max_seconds", "continuity", "silence_seconds", "crossfade_seconds", "together"),
    *("takes", "trim", "stop_babble", "peak"),
)


def reading_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add one option per name in `READING`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
