"""Signals as interrupts: a command ends as after Ctrl-C, keeps its work, and is not disturbed."""

import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, ClassVar

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
_SIGNALS = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
_FROM_SIGNALS = 128  # exit status of a shell for a process that a signal ends, minus the signal
_REPEAT_SECONDS = 0.01


class Interrupt(KeyboardInterrupt):
    """An interrupt by a signal.

    Attributes:
        raised: Number of the signal whose interrupt was raised, if any.
    """

    raised: ClassVar[int | None] = None

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def raise_interrupts() -> None:
    """Raise `Interrupt` in the main thread at SIGINT, SIGTERM and SIGHUP.

    Once: further ones do not disturb the end. What the process ignores, as under nohup, stays
    ignored. An interrupt that Python drops, since it was raised in a finalizer, is repeated.
    """
    Interrupt.raised = None
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _raise)
    if not isinstance(sys.unraisablehook, _InterruptRepeater):
        sys.unraisablehook = _InterruptRepeater(sys.unraisablehook)


@contextmanager
def delayed_interrupts(on_interrupt: Callable[[], object] | None = None) -> Iterator[None]:
    """Raise interrupts after the block, so that a file is not written in part.

    Interrupts are raised in the main thread alone; a block in another one is not interrupted.

    Args:
        on_interrupt: Called at each interrupt in the block, such as to end what it waits for.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
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
    """The interrupt that caused an error, such as one of a library that was being imported.

    A library in another language may drop an interrupt and raise an error of its own. So if an
    interrupt was raised, but the error does not come from handling it, it caused the error.
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__
    number = Interrupt.raised
    if cause is None and number is not None and is_interrupted() and not _is_of_handling(error):
        return Interrupt(number)
    return cause


def _is_of_handling(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def release_frames(stop: BaseException) -> None:
    """Drop what the frames of an exception hold, so that their temporary files are removed now."""
    error: BaseException | None = stop
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__


def _raise(number: int, _: FrameType | None) -> None:
    for each in _SIGNALS:
        if signal.getsignal(each) is _raise:
            signal.signal(each, _ignore)
    Interrupt.raised = number
    raise Interrupt(number)


class _InterruptRepeater:
    """Hook for exceptions that Python drops: an interrupt is raised again, a moment later."""

    def __init__(self, otherwise: Callable[[Any], object]) -> None:
        self.dropped: int | None = None  # the signal of an interrupt that is still to be raised
        self._otherwise = otherwise

    def __call__(self, unraisable: Any) -> None:
        if not isinstance(unraisable.exc_value, Interrupt):
            self._otherwise(unraisable)
            return
        number = unraisable.exc_value.number
        repeat = threading.Timer(_REPEAT_SECONDS, _interrupt_main_thread, (number,))
        repeat.daemon = True  # the process may end meanwhile
        repeat.start()
        self.dropped = number  # last, as another signal may come at any time


def _interrupt_main_thread(number: int) -> None:
    """Send a signal to the main thread, which may be waiting for something."""
    main = threading.main_thread().ident
    if sys.platform == "win32" or main is None:
        signal.raise_signal(number)
    else:
        signal.pthread_kill(main, number)


def _ignore(_: int, frame: FrameType | None) -> None:
    """Raise an interrupt that was dropped, or do nothing.

    Unlike SIG_IGN, this also holds for a signal that came with the first one.
    """
    hook = sys.unraisablehook
    if not isinstance(hook, _InterruptRepeater) or hook.dropped is None:
        return
    if frame is None or frame.f_code is not _InterruptRepeater.__call__.__code__:
        number, hook.dropped = hook.dropped, None
        raise Interrupt(number)
