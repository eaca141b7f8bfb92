"""Signals as interrupts: a command ends as after Ctrl-C, keeps its work, and is not disturbed."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
_SIGNALS = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
_FROM_SIGNALS = 128  # exit status of a shell for a process that a signal ends, minus the signal


class Interrupt(KeyboardInterrupt):
    """An interrupt by a signal."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def raise_interrupts() -> None:
    """Raise `Interrupt` in the main thread at SIGINT, SIGTERM and SIGHUP.

    Once: further ones do not disturb the end. What the process ignores, as under nohup, stays
    ignored.
    """
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _raise)


@contextmanager
def delayed_interrupts(on_interrupt: Callable[[], object] | None = None) -> Iterator[None]:
    """Raise interrupts after the block, so that a file is not written in part.

    Args:
        on_interrupt: Called at each interrupt in the block, such as to end what it waits for.
    """
    received: list[int] = []

    def delay(number: int, _: FrameType | None) -> None:
        received.append(number)
        if on_interrupt is not None:
            on_interrupt()

    handlers = {
        number: signal.signal(number, delay)
        for number in _SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in received[:1]:
            signal.raise_signal(number)


def is_interrupted() -> bool:
    """Whether an interrupt was raised: the command ends without waiting."""
    return any(signal.getsignal(each) is _ignore for each in _SIGNALS)


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


def find_interrupt(error: BaseException) -> KeyboardInterrupt | None:
    """The interrupt that caused an error, such as one of a library that was being imported."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__
    return cause


def _raise(number: int, _: FrameType | None) -> None:
    for each in _SIGNALS:
        if signal.getsignal(each) is _raise:
            signal.signal(each, _ignore)
    raise Interrupt(number)


def _ignore(number: int, _: FrameType | None) -> None:
    """Do nothing. Unlike SIG_IGN, this also holds for a signal that came with the first one."""
