"""`optimum-cli export bark-onnx`: the options of bark-export as a command of optimum's.

optimum imports every module of its namespace `optimum.commands.register` when its command starts,
so nothing here imports PyTorch. It has an argparse parser per command; what that finds is passed on
to bark-export, whose options, checks and messages are used unchanged.
"""

from argparse import Action, ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

import click
from optimum.commands.base import BaseOptimumCLICommand, CommandInfo
from optimum.commands.export.base import ExportCommand

from bark_onnx.export.cli import command, main

_NAME = "bark-onnx"
_UNGROUPED = "Other"


class _PassOn(Action):
    """Keeps an option as it was given."""

    def __call__(
        self,
        parser: ArgumentParser,
        namespace: Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Append `--name=value`, or the name of a flag."""
        given = option_string if self.nargs == 0 else f"{option_string}={values}"
        namespace.passed_on = [*namespace.passed_on, given]


class BarkOnnxExportCommand(BaseOptimumCLICommand):
    """Exports a Bark checkpoint as bark-export does."""

    COMMAND = CommandInfo(name=_NAME, help="Export a Bark checkpoint to ONNX graphs for bark-onnx.")

    @staticmethod
    def parse_args(parser: ArgumentParser) -> None:
        """Add the source, the bundle and every option of bark-export."""
        paragraphs = (command.help or "").split("\n\n")
        summary, source, *_ = (" ".join(paragraph.split()) for paragraph in paragraphs)
        parser.description = _escaped(summary)
        parser.add_argument("-m", "--model", metavar="SOURCE", required=True, help=_escaped(source))
        parser.add_argument("bundle", metavar="BUNDLE", help="Folder that is written.")
        parser.set_defaults(passed_on=[])
        options = [each for each in command.params if isinstance(each, click.Option)]
        titles = dict.fromkeys(getattr(option, "group", _UNGROUPED) for option in options)
        for title in titles:
            group = parser.add_argument_group(title)
            for option in options:
                if getattr(option, "group", _UNGROUPED) == title and option.expose_value:
                    _add_option(group, option)

    def run(self) -> None:
        """Export; an error is one line on stderr and exit status 1."""
        arguments = [*self.args.passed_on, "--", self.args.model, self.args.bundle]
        main(arguments, name=f"optimum-cli export {_NAME}")


def _add_option(group: Any, option: click.Option) -> None:
    context = click.Context(command)
    _, text = option.get_help_record(context) or ("", "")
    value = {"nargs": 0} if option.is_flag else {"metavar": option.make_metavar(context)}
    names = (*option.opts, *option.secondary_opts)
    group.add_argument(*names, action=_PassOn, dest="passed_on", help=_escaped(text), **value)


def _escaped(text: str) -> str:
    """Text in which argparse replaces nothing."""
    return text.replace("%", "%%")


REGISTER_COMMANDS = [(BarkOnnxExportCommand, ExportCommand)]
