"""Shared by both commands: option groups in --help, and one-line messages for errors.

The only module of graphs/ that imports click.
"""

import sys
from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import click

from bark_onnx.graphs.errors import BarkError

_INTERRUPTED = 130  # the status that shells expect after Ctrl-C
_UNGROUPED = "Other"

Command = Callable[..., None]


class GroupedOption(click.Option):
    """An option that `GroupedCommand` lists under a heading."""

    def __init__(self, *names: Any, group: str, **attributes: Any) -> None:
        super().__init__(*names, **attributes)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose help lists options by group, in the order in which they were added."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section per group."""
        groups: dict[str, list[tuple[str, str]]] = {}
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        for option in options:
            record = option.get_help_record(ctx)
            if record is not None:
                groups.setdefault(getattr(option, "group", _UNGROUPED), []).append(record)
        for group, records in groups.items():
            with formatter.section(group):
                formatter.write_dl(records)


def grouped_option(group: str) -> Callable[..., Callable[[Command], Command]]:
    """`click.option` for options of a group."""
    return partial(click.option, cls=GroupedOption, group=group)


def add_options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """A decorator that adds several options in order."""
    return lambda function: reduce(lambda command, add: add(command), reversed(options), function)


def run_command(command: click.Command, name: str, *, interrupted: str = "interrupted") -> None:
    """Run a click command and exit the process.

    Args:
        command: Command to run.
        name: Prefix of each message.
        interrupted: Message for an interrupt without a message of its own.
    """
    try:
        command.main(prog_name=name, standalone_mode=False)
    except BarkError as error:
        _fail(f"{name}: {error}", 1)
    except click.ClickException as error:
        message = " ".join(error.format_message().split()).rstrip(".")
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else name
        _fail(f"{name}: {message}; see {path} --help", error.exit_code)
    except (KeyboardInterrupt, click.Abort) as stop:
        _fail(f"{name}: {stop!s}" if str(stop) else f"{name}: {interrupted}", _INTERRUPTED)


def _fail(message: str, status: int) -> None:
    click.echo(message, err=True)
    sys.exit(status)
