"""The entry point of bark-onnx. Imports all else only when errors and interrupts are handled."""

import sys

_NAME = "bark-onnx"
_INTERRUPTED = 130


def main() -> None:
    """Run the command; an error is one line on stderr and exit status 1."""
    try:
        _run()
    except KeyboardInterrupt:  # before click could report it
        sys.stderr.write(f"{_NAME}: interrupted\n")
        sys.exit(_INTERRUPTED)


def _run() -> None:
    import warnings

    from bark_onnx.graphs.command_line import exit_on_errors, prepare_streams, run_command

    prepare_streams()
    warnings.showwarning = _show_warning
    with exit_on_errors(_NAME):
        from bark_onnx.runtime.cli.command import command
        from bark_onnx.runtime.inference.thread_pool import use_global_thread_pool

        use_global_thread_pool()
    run_command(command, _NAME)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    from bark_onnx.graphs.command_line import print_error
    from bark_onnx.graphs.errors import printable

    print_error(f"{_NAME}: warning: {printable(str(message))}")
