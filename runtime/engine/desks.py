"""One stage at work: the requests that wait for it, and the batch of those that are in it."""

from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

from bark_onnx.graphs.contract import Stage
from bark_onnx.runtime.codec import run_codec
from bark_onnx.runtime.decoders.batches import Batch, OneByOne, Seat
from bark_onnx.runtime.decoders.rows import RowBatch
from bark_onnx.runtime.engine.jobs import Job
from bark_onnx.runtime.fine import run_fine_pass
from bark_onnx.runtime.stages import Stages
from bark_onnx.runtime.synthesis import StageWork, Synthesis

_SHARED: tuple[Stage, ...] = ("semantic", "coarse")  # rows share their steps


@dataclass(eq=False)
class Task:
    """A job, as the engine sees it."""

    job: Job
    synthesis: Synthesis
    party: "Party"
    owner: object  # kept alive until the job is done
    work: StageWork | None = None  # what it needs or does now
    desk: "Desk | None" = None  # where it waits or runs; None while its party holds it
    seat: Seat[Any] | None = None  # in the desk's batch; None while it waits


class Party:
    """The requests of one call. They enter the coarse stage together.

    A step costs little more for several rows than for one. Those that one caller waits for as a
    whole lose nothing by waiting for each other, and share more of the longest stage.
    """

    def __init__(self) -> None:
        self._behind: set[Task] = set()
        self._held: list[Task] = []

    def add(self, task: Task) -> None:
        """One more that has to come to the coarse stage."""
        self._behind.add(task)

    def arrive(self, task: Task) -> list[Task]:
        """A request is ready for the coarse stage; returns those that may enter now."""
        self._behind.discard(task)
        self._held.append(task)
        return self._release()

    def lose(self, task: Task) -> list[Task]:
        """A request has ended somewhere; returns those that may enter the coarse stage now."""
        self._behind.discard(task)
        self._held = [held for held in self._held if held is not task]
        return self._release()

    def _release(self) -> list[Task]:
        if self._behind:
            return []
        released, self._held = self._held, []
        return released


class Desk:
    """One stage: opened when it has work, closed when it has none.

    Args:
        stage: which one.
        stages: of the bundle.
    """

    def __init__(self, stage: Stage, stages: Stages) -> None:
        self.stage = stage
        self.slots = stages.max_rows if stage in _SHARED else 1
        self.steps = 0  # decode steps, fine passes or runs of the codec so far
        self.rows = 0  # summed over them
        self.waiting: deque[Task] = deque()
        self.running: dict[Seat[Any], Task] = {}
        self._stages = stages
        self._opened = ExitStack()
        self._batch: Batch | None = None

    @property
    def has_work(self) -> bool:
        """Whether anybody waits for it or is in it."""
        return bool(self.waiting or self.running)

    def add(self, task: Task) -> None:
        """Take in a request whose work is this stage's."""
        task.desk = self
        self.waiting.append(task)

    def remove(self, task: Task) -> None:
        """Take out a request that waits or runs."""
        if task.seat is None:
            self.waiting.remove(task)
            task.desk = None
        else:
            assert self._batch is not None
            self._batch.leave(task.seat)
            self._left(task.seat)
        self._close_if_idle()

    def fill(self) -> None:
        """Open the stage if need be, and let in as many as there is room for.

        Raises:
            Exception: it cannot be opened; everybody still waits.
        """
        if self._batch is None:
            self._batch = self._open()
        while self.waiting and self._batch.has_room:
            task = self.waiting.popleft()
            assert task.work is not None
            task.seat = self._batch.join(task.work.row)
            task.job.timings = task.job.timings.entered(self.stage, monotonic())
            self.running[task.seat] = task

    def step(self) -> tuple[int, list[tuple[Task, Seat[Any]]]]:
        """Do one unit of work: how many rows shared it, and who ended, with their former seats."""
        assert self._batch is not None
        step = self._batch.step()
        self.steps += step.rows > 0
        self.rows += step.rows
        ended = [(self._left(seat), seat) for seat in step.ended]
        self._close_if_idle()
        return step.rows, ended

    def close(self) -> None:
        """Forget everybody, and free what the stage holds."""
        self.waiting.clear()
        self.running.clear()
        self._batch = None
        self._opened.close()

    def _left(self, seat: Seat[Any]) -> Task:
        task = self.running.pop(seat)
        task.seat = task.desk = None
        task.job.timings = task.job.timings.left(self.stage, monotonic())
        return task

    def _close_if_idle(self) -> None:
        if not self.has_work:
            self.close()

    def _open(self) -> Batch:
        opened = self._opened.enter_context(self._stages.use(self.stage))
        if self.stage in _SHARED:
            return RowBatch(opened)
        return OneByOne(partial(run_fine_pass if self.stage == "fine" else run_codec, opened))
