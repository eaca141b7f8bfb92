"""Keeps the signal handlers of the process that runs the tests."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept_signal_handlers() -> Iterator[None]:
    """A command that runs in this process changes the handlers for the tests behind it."""
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    handlers = {number: signal.getsignal(number) for number in numbers}
    hook = sys.unraisablehook
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in handlers.items():
            signal.signal(number, handler)
