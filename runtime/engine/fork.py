"""Detects that a process was forked: a copy of an object has no threads, and locks may be held."""

import os

from bark_onnx.graphs.errors import EngineError


class OwnProcess:
    """The process in which it was made."""

    def __init__(self) -> None:
        self._id = os.getpid()

    @property
    def is_left(self) -> bool:
        """Whether the caller is in a fork of that process."""
        return os.getpid() != self._id

    def check(self) -> None:
        """Raise EngineError in a fork, where a request would wait forever."""
        if self.is_left:
            raise EngineError(
                "The bundle was loaded before this process was forked, and its threads are not in "
                "the fork; load it in the new process, or start that with multiprocessing's spawn"
            )
