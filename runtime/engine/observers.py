"""Observers of an engine's steps."""

import logging
import threading

from bark_onnx.graphs.contract import Stage
from bark_onnx.runtime.engine.status import Observer

_log = logging.getLogger(__name__)


class Observers:
    """Observers that any thread adds and the engine's thread notifies."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._observers: tuple[Observer, ...] = ()  # replaced, never changed

    def add(self, observer: Observer) -> None:
        """Notify an observer of every step from now on."""
        with self._lock:
            self._observers = (*self._observers, observer)

    def notify(self, stage: Stage, batch_size: int, seconds: float) -> None:
        """Notify all of a step; one that raises is removed."""
        for observer in self._observers if batch_size else ():
            try:
                observer.on_step(stage, batch_size, seconds)
            except BaseException:  # one that raises SystemExit does not end the engine
                _log.exception("An observer failed and was removed")
                with self._lock:
                    self._observers = tuple(o for o in self._observers if o is not observer)
