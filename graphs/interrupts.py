"""SIGTERM and SIGHUP as interrupts, so that a command ends as after Ctrl-C and keeps its work."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
_FROM_SIGNALS = 128  # exit status of a shell for a process that a signal ends, minus the signal


class Interrupt(KeyboardInterrupt):
    """An interrupt by another signal than that of Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def raise_interrupts() -> None:
    """Raise `Interrupt` in the main thread at SIGTERM and SIGHUP.

    Once: further ones do not disturb the end. What the process ignores, as under nohup, stays
    ignored.
    """
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _raise)


@contextmanager
def delayed_interrupts() -> Iterator[None]:
    """Raise interrupts after the block, so that a file is not written in part."""
    numbers = [signal.SIGINT, *_SIGNALS]
    received: list[int] = []
    handlers = {
        number: signal.signal(number, lambda number, _: received.append(number))
        for number in numbers
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in received[:1]:
            signal.raise_signal(number)


def exit_status(stop: BaseException) -> int:
    """Exit status after an interrupt: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP.

    Args:
        stop: The interrupt, or an exception that it caused.
    """
    cause: BaseException | None = stop
    while cause is not None:
        if isinstance(cause, Interrupt):
            return _FROM_SIGNALS + cause.number
        cause = cause.__cause__
    return _FROM_SIGNALS + signal.SIGINT


def _raise(number: int, _: FrameType | None) -> None:
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise Interrupt(number)
