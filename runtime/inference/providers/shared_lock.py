"""SharedLock: many threads at a time, or one alone."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class SharedLock:
    """A lock that many threads share, until one of them waits to hold it alone.

    The thread that holds it alone may also share it.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._sharing = 0
        self._waiting = 0  # threads that want it alone: no other thread enters before them
        self._owner: int | None = None  # id of the thread that holds it alone

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Hold it together with others."""
        if self._owner == threading.get_ident():
            yield
            return
        with self._condition:
            self._condition.wait_for(lambda: self._owner is None and not self._waiting)
            self._sharing += 1
        try:
            yield
        finally:
            with self._condition:
                self._sharing -= 1
                self._condition.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold it without others."""
        with self._condition:
            self._waiting += 1
            try:
                self._condition.wait_for(lambda: self._owner is None and not self._sharing)
                self._owner = threading.get_ident()
            finally:
                self._waiting -= 1
        try:
            yield
        finally:
            with self._condition:
                self._owner = None
                self._condition.notify_all()
