"""Options of several commands, and the values of a group of options."""

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

import click

from bark_onnx.graphs.command_line import grouped_option

BUNDLE_HELP = "Folder or hub id of a bundle, or set BARK_ONNX_MODEL"

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
