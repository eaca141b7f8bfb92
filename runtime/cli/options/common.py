"""Options of several commands, and the values of a group of options."""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import click

from bark_onnx.graphs.command_line import grouped_option
from bark_onnx.graphs.errors import BarkError
from bark_onnx.runtime.options.generation import GenerationOptions
from bark_onnx.runtime.options.stream import StreamOptions

_FLAGS = {
    **{
        field.name: f"--{field.name.replace('_', '-')}"
        for kind in (GenerationOptions, StreamOptions)
        for field in dataclasses.fields(kind)
    },
    "sample_rate_hz": "--sample-rate",
    "threads": "--threads",
    "seed": "--seed",
    "greedy": "--greedy",
}
# A name of the library where a message begins or gives advice, not a word of the text.
_NAME = re.compile(rf"(?:^|(?<=and )|(?<=give )|(?<=use ))({'|'.join(_FLAGS)})(=False)?(?=[ ,;]|$)")

BUNDLE_HELP = "Folder or hub id of a bundle, or demo; or set BARK_ONNX_MODEL"

optional_bundle_option = partial(
    grouped_option("Input"),
    "-m",
    "--model",
    "bundle",
    type=click.Path(),
    envvar="BARK_ONNX_MODEL",
    metavar="BUNDLE",
    help=f"{BUNDLE_HELP}.",
)
bundle_option = optional_bundle_option(required=True)


def values_of(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a dataclass's fields among the values of all options."""
    return {field.name: values[field.name] for field in dataclasses.fields(kind)}


@contextmanager
def flags_in_errors() -> Iterator[None]:
    """Name options as on the command line in errors of the library, as in --silence-seconds."""
    try:
        yield
    except BarkError as error:
        message = _NAME.sub(_flag, str(error))
        if message == str(error):
            raise
        raise type(error)(message) from error


def _flag(found: "re.Match[str]") -> str:
    flag = _FLAGS[found[1]]
    return f"--no-{flag[2:]}" if found[2] else flag
