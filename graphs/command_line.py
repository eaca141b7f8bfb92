"""How both commands end: a result, or one line that says what went wrong."""

import sys

import click

from bark_onnx.graphs.errors import BarkError

_INTERRUPTED = 130  # what shells expect after Ctrl-C


def run_command(command: click.Command, name: str, *, interrupted: str = "interrupted") -> None:
    """Run a click command to the end of the process.

    Args:
        command: what to run.
        name: stands before every message.
        interrupted: what to say when the user interrupts, and the command itself says nothing.
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
