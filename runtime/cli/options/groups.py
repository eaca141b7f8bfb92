"""Options under headings of the help."""

from collections.abc import Callable
from functools import partial
from typing import Any

import click

Command = Callable[..., None]

_UNGROUPED = "Other"


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

    def decorate(function: Command) -> Command:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate
