"""Options of several commands, and the values of a group of options."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import click

from bark_onnx.graphs.command_line import Command, grouped_option


def _bundle_option(*, required: bool) -> Callable[[Command], Command]:
    return grouped_option("Input")(
        "-m",
        "--model",
        "bundle",
        required=required,
        type=click.Path(),
        envvar="BARK_ONNX_MODEL",
        metavar="BUNDLE",
        help="Folder or hub id of a bundle, or set BARK_ONNX_MODEL.",
    )


bundle_option = _bundle_option(required=True)
optional_bundle_option = _bundle_option(required=False)


def values_of(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a dataclass's fields among the values of all options."""
    return {field.name: values[field.name] for field in dataclasses.fields(kind)}
