"""A fake engine for the drivers of long text, whose futures finish when they are awaited."""

import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np

from bark_onnx.graphs.errors import QueueFullError
from bark_onnx.runtime import Speech
from bark_onnx.runtime.longform.window import SegmentTask

RATE = 24_000


class FakeFuture(Future):
    """A future that is generated when the driver waits for it."""

    def __init__(self, generate: Callable[[], Speech]) -> None:
        super().__init__()
        self._generate = generate
        self.was_cancelled = False

    def finish(self) -> None:
        try:
            self.set_result(self._generate())
        except Exception as error:
            self.set_exception(error)

    def cancel(self) -> bool:
        self.was_cancelled = True
        return False


class FakeEngine:
    """Generates what a function gives for a text and a seed, and records the tasks."""

    def __init__(self, samples: Any = None, *, room: int | None = None) -> None:
        self.tasks: list[SegmentTask] = []
        self.futures: list[weakref.ref[FakeFuture]] = []
        self._samples = samples or (lambda text, seed: np.full(RATE, 0.5, np.float32))
        self._room = room

    @property
    def in_flight(self) -> list[FakeFuture]:
        futures = [future for ref in self.futures if (future := ref()) is not None]
        return [future for future in futures if not future.done()]

    @property
    def texts(self) -> list[str]:
        return [task.segment.text for task in self.tasks]

    def submit(self, task: SegmentTask, on_progress: Any = None) -> FakeFuture:
        if self._room is not None and len(self.in_flight) >= self._room:
            raise QueueFullError("full")
        self.tasks.append(task)
        text, seed = task.segment.text, task.seed
        tokens = np.zeros((8, 8), np.int64)

        def generate() -> Speech:
            samples = self._samples(text, seed)
            semantic = np.full(8, seed % 1000)
            return Speech(samples, RATE, semantic, tokens[:2], tokens, text, "", seed)

        future = FakeFuture(generate)
        self.futures.append(weakref.ref(future))
        return future


class EagerEngine(FakeEngine):
    """Generates the first three segments as soon as the third was submitted."""

    def submit(self, task: SegmentTask, on_progress: Any = None) -> FakeFuture:
        future = super().submit(task)
        if len(self.tasks) == 3:
            for waiting in self.in_flight:
                waiting.finish()
        return future
