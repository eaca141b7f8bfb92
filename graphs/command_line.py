"""Shared by both commands: option groups in --help, and one-line messages for errors.

The only module of graphs/ that imports click.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import click

from bark_onnx.graphs.errors import BarkError

_INTERRUPTED = 130  # the status that shells expect after Ctrl-C
_Function = TypeVar("_Function", bound=Callable[..., Any])


class GroupedOption(click.Option):
    """An option with a heading in the --help of a `GroupedCommand`."""

    def __init__(self, *args: Any, group: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group


def grouped_option(heading: str) -> Callable[..., Callable[[_Function], _Function]]:
    """Return a decorator like `click.option`, for options under a heading."""
    return partial(click.option, cls=GroupedOption, group=heading)


class GroupedCommand(click.Command):
    """A command whose --help lists options under the headings of their groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section per heading, in order of first use; options without one are last."""
        sections: dict[str, list[tuple[str, str]]] = {}
        others: list[tuple[str, str]] = []
        for option in self.get_params(ctx):
            record = option.get_help_record(ctx)
            if record is not None and isinstance(option, GroupedOption):
                sections.setdefault(option.group, []).append(record)
            elif record is not None and isinstance(option, click.Option):
                others.append(record)
        for heading, records in {**sections, "Other": others}.items():
            with formatter.section(heading):
                formatter.write_dl(records)


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
