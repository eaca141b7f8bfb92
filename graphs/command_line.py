"""Shared by both commands: option groups in --help, and one-line messages for errors.

The only module of graphs/ that imports click.
"""

import io
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial, reduce
from typing import Any, NoReturn

import click

from bark_onnx.graphs.errors import BarkError, printable, system_reason
from bark_onnx.graphs.interrupts import exit_status, find_interrupt, release_frames

_STDERR_FD = 2
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


def run_command(
    command: click.Command,
    name: str,
    *,
    arguments: Sequence[str] | None = None,
    interrupted: str = "interrupted",
) -> None:
    """Run a click command and exit the process after an error; see `exit_on_errors`.

    Args:
        command: Command to run.
        name: Name of the program, as messages show it.
        arguments: Arguments; None takes those of the process.
        interrupted: Message for an interrupt without a message of its own.
    """
    with exit_on_errors(name, interrupted=interrupted):
        command.main(arguments, prog_name=name, standalone_mode=False)


@contextmanager
def exit_on_errors(name: str, *, interrupted: str = "interrupted") -> Iterator[None]:
    """Exit the process after an error or an interrupt of the block, with one line on stderr.

    Args:
        name: Prefix of each message.
        interrupted: Message for an interrupt without a message of its own.
    """
    try:
        with _interrupts_first():
            yield
        _flush_stdout()
    except BarkError as error:
        _fail(f"{name}: {error}", 1)
    except click.exceptions.NoArgsIsHelpError as error:
        print_error(error.format_message())
        sys.exit(error.exit_code)
    except click.ClickException as error:
        message = " ".join(error.format_message().split()).rstrip(".")
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else name
        _fail(f"{name}: {message}; see {path} --help", error.exit_code)
    except (KeyboardInterrupt, click.Abort) as stop:
        release_frames(stop)
        _fail(f"{name}: {str(stop) or interrupted}", exit_status(stop))
    except OSError as error:
        _fail(f"{name}: {_describe(error)}", 1)
    except (MemoryError, ImportError) as error:
        _fail(f"{name}: cannot go on ({system_reason(error)})", 1)


@contextmanager
def _interrupts_first() -> Iterator[None]:
    """Raise the interrupt that caused an error instead of the error."""
    try:
        yield
    except click.Abort:  # whose message says what was kept
        raise
    except Exception as error:
        stop = find_interrupt(error)
        if stop is None:
            raise
        raise stop from None


def prepare_streams() -> None:
    """Make standard streams safe to write to, whatever the shell has closed or set.

    A closed stream is replaced by the null device: otherwise the next file that is opened would
    receive the messages of libraries. Names in other encodings are escaped.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= _STDERR_FD:
        pass
    os.close(fd)
    if sys.stderr is None:
        sys.stderr = open(_STDERR_FD, "w", closefd=False)  # noqa: SIM115 (a descriptor)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def print_error(message: str) -> None:
    """Print a message on standard error, unless that cannot be written."""
    try:
        click.echo(message, err=True)
    except OSError:
        _discard(sys.stderr)


def discard_stdout() -> None:
    """Write the rest of standard output nowhere, so that Python's flush at exit succeeds."""
    _discard(sys.stdout)


def _discard(stream: Any) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def _flush_stdout() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _describe(error: OSError) -> str:
    reason = system_reason(error)
    if error.filename is not None:
        return f"{error.filename}: {reason}"
    writers = (click.echo.__code__, _flush_stdout.__code__)
    if any(frame.f_code in writers for frame, _ in traceback.walk_tb(error.__traceback__)):
        return f"standard output: cannot be written ({reason})"
    return f"cannot go on ({reason})"


def _fail(message: str, status: int) -> NoReturn:
    print_error(printable(message))
    try:
        _flush_stdout()
    except OSError:
        discard_stdout()
    sys.exit(status)
