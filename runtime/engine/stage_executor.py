"""One stage at work: the requests that wait for it, and the batch of those that are in it."""

from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

from bark_onnx.graphs.contract import Stage
from bark_onnx.runtime.engine.batch import Batch, BatchEntry, SerialBatch
from bark_onnx.runtime.engine.continuous_batch import ContinuousBatch
from bark_onnx.runtime.engine.future import SpeechFuture
from bark_onnx.runtime.inference.codec import run_codec
from bark_onnx.runtime.inference.fine import run_fine_pass
from bark_onnx.runtime.inference.models import StageModels
from bark_onnx.runtime.inference.pipeline import StageCall, Synthesis

_SHARED: tuple[Stage, ...] = ("semantic", "coarse")  # rows share their steps


@dataclass(eq=False)
class EngineRequest:
    """A job, as the engine sees it."""

    job: SpeechFuture
    synthesis: Synthesis
    group: "RequestGroup"
    owner: object  # kept alive until the job is done
    work: StageCall | None = None  # what it needs or does now
    executor: "StageExecutor | None" = None  # where it waits or runs; None while its party holds it
    entry: BatchEntry[Any] | None = None  # in the desk's batch; None while it waits


class RequestGroup:
    """The requests of one call. They enter the coarse stage together.

    A step costs little more for several rows than for one. Those that one caller waits for as a
    whole lose nothing by waiting for each other, and share more of the longest stage.
    """

    def __init__(self) -> None:
        self._behind: set[EngineRequest] = set()
        self._held: list[EngineRequest] = []

    def add(self, task: EngineRequest) -> None:
        """One more that has to come to the coarse stage."""
        self._behind.add(task)

    def arrive(self, task: EngineRequest) -> list[EngineRequest]:
        """A request is ready for the coarse stage; returns those that may enter now."""
        self._behind.discard(task)
        self._held.append(task)
        return self._release()

    def lose(self, task: EngineRequest) -> list[EngineRequest]:
        """A request has ended somewhere; returns those that may enter the coarse stage now."""
        self._behind.discard(task)
        self._held = [held for held in self._held if held is not task]
        return self._release()

    def _release(self) -> list[EngineRequest]:
        if self._behind:
            return []
        released, self._held = self._held, []
        return released


class StageExecutor:
    """One stage: opened when it has work, closed when it has none.

    Args:
        stage: which one.
        stages: of the bundle.
    """

    def __init__(self, stage: Stage, stages: StageModels) -> None:
        self.stage = stage
        self.slots = stages.max_batch_size if stage in _SHARED else 1
        self.steps = 0  # decode steps, fine passes or runs of the codec so far
        self.sequences = 0  # summed over them
        self.waiting: deque[EngineRequest] = deque()
        self.running: dict[BatchEntry[Any], EngineRequest] = {}
        self._stages = stages
        self._opened = ExitStack()
        self._batch: Batch | None = None

    @property
    def has_work(self) -> bool:
        """Whether anybody waits for it or is in it."""
        return bool(self.waiting or self.running)

    def add(self, task: EngineRequest) -> None:
        """Take in a request whose work is this stage's."""
        task.executor = self
        self.waiting.append(task)

    def remove(self, task: EngineRequest) -> None:
        """Take out a request that waits or runs."""
        if task.entry is None:
            self.waiting.remove(task)
            task.executor = None
        else:
            assert self._batch is not None
            self._batch.remove(task.entry)
            self._left(task.entry)
        self._close_if_idle()

    def load_state(self) -> None:
        """Open the stage if need be, and let in as many as there is room for.

        Raises:
            Exception: it cannot be opened; everybody still waits.
        """
        if self._batch is None:
            self._batch = self._open()
        while self.waiting and self._batch.has_free_slot:
            task = self.waiting.popleft()
            assert task.work is not None
            task.entry = self._batch.add(task.work.generator)
            task.job.timings = task.job.timings.with_stage_start(self.stage, monotonic())
            self.running[task.entry] = task

    def step(self) -> tuple[int, list[tuple[EngineRequest, BatchEntry[Any]]]]:
        """Do one unit of work: how many rows shared it, and who ended, with their former seats."""
        assert self._batch is not None
        step = self._batch.step()
        self.steps += step.sequences > 0
        self.sequences += step.sequences
        finished = [(self._left(entry), entry) for entry in step.finished]
        self._close_if_idle()
        return step.sequences, finished

    def close(self) -> None:
        """Forget everybody, and free what the stage holds."""
        self.waiting.clear()
        self.running.clear()
        self._batch = None
        self._opened.close()

    def _left(self, entry: BatchEntry[Any]) -> EngineRequest:
        task = self.running.pop(entry)
        task.entry = task.executor = None
        task.job.timings = task.job.timings.with_stage_end(self.stage, monotonic())
        return task

    def _close_if_idle(self) -> None:
        if not self.has_work:
            self.close()

    def _open(self) -> Batch:
        opened = self._opened.enter_context(self._stages.use(self.stage))
        if self.stage in _SHARED:
            return ContinuousBatch(opened)
        return SerialBatch(partial(run_fine_pass if self.stage == "fine" else run_codec, opened))
