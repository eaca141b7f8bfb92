"""Markdown extension: `::: click MODULE ATTRIBUTE NAME` is replaced by the help of a command.

Subcommands follow it. The text is what click prints, with its examples and groups of options.
"""

import importlib
import re
from collections.abc import Iterator

import click
from markdown import Extension, Markdown
from markdown.preprocessors import Preprocessor

_DIRECTIVE = re.compile(r"::: click (\S+) (\S+) (\S+)")
_WIDTH = 90  # characters of a line
_PRIORITY = 150  # before anything that looks for fences or headings


class ClickReference(Extension):
    """Registers the directive."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802  # markdown's name
        """Add the preprocessor."""
        md.preprocessors.register(_Directive(md), "click_reference", _PRIORITY)


class _Directive(Preprocessor):
    def run(self, lines: list[str]) -> list[str]:
        """Replace every directive by Markdown."""
        result: list[str] = []
        for line in lines:
            found = _DIRECTIVE.fullmatch(line)
            result += _expand(*found.groups()) if found else [line]
        return result


def _expand(module: str, attribute: str, name: str) -> Iterator[str]:
    command = getattr(importlib.import_module(module), attribute)
    yield from _sections(command, name, None)


def _sections(command: click.Command, name: str, parent: click.Context | None) -> Iterator[str]:
    """A heading and the help of a command, then those of its subcommands."""
    settings = {**command.context_settings, "terminal_width": _WIDTH}
    context = command.context_class(command, info_name=name, parent=parent, **settings)
    path = context.command_path
    yield from (f"### {path} {{ #{path.replace(' ', '-')} }}", "")
    yield from ("```text", *context.get_help().splitlines(), "```", "")
    if isinstance(command, click.Group):
        for child_name in command.list_commands(context):
            child = command.get_command(context, child_name)
            if child is not None and not child.hidden:
                yield from _sections(child, child_name, context)


def makeExtension() -> ClickReference:  # noqa: N802  # markdown's name
    """The extension, as markdown looks for it."""
    return ClickReference()
