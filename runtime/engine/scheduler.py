"""The stages at work: who is where, and one unit of work after the other.

Belongs to one thread and knows nothing of threads.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic

from bark_onnx.graphs.contract import STAGES, Stage
from bark_onnx.graphs.errors import BarkError, EngineError
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.engine.future import SpeechFuture
from bark_onnx.runtime.engine.policy import (
    RoundRobinPolicy,
    SchedulingPolicy,
    StageSequentialPolicy,
)
from bark_onnx.runtime.engine.stage_executor import EngineRequest, StageExecutor
from bark_onnx.runtime.engine.status import EngineStatus, StageStatus
from bark_onnx.runtime.inference.models import StageModels

_log = logging.getLogger(__name__)


class Scheduler:
    """Requests on their way through the stages.

    Args:
        stages: of the bundle.
        publish: hears how busy it is when that changes, and before a job's end is told.
        tell: hears of every step: stage, rows and seconds.
    """

    def __init__(
        self,
        stages: StageModels,
        *,
        publish: Callable[[EngineStatus], None],
        tell: Callable[[Stage, int, float], None],
    ) -> None:
        self._publish = publish
        self._tell = tell
        self._turns: SchedulingPolicy = (
            StageSequentialPolicy() if stages.low_memory else RoundRobinPolicy()
        )
        self._tasks: dict[SpeechFuture, EngineRequest] = {}
        self._lobby: deque[EngineRequest] = deque()  # those of them that have not begun
        self._executors = {stage: StageExecutor(stage, stages) for stage in STAGES}

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self._tasks

    def status(self) -> EngineStatus:
        """How busy it is."""
        stages = {
            stage: StageStatus(
                executor.slots, len(executor.running), executor.steps, executor.sequences
            )
            for stage, executor in self._executors.items()
        }
        running = sum(status.slots_in_use for status in stages.values())
        return EngineStatus(stages, len(self._tasks) - running, running)

    def receive(self, tasks: Sequence[EngineRequest]) -> None:
        """Take in requests; they begin when it is their turn."""
        self._tasks.update((task.job, task) for task in tasks)
        self._lobby.extend(tasks)

    def cancel(self, job: SpeechFuture) -> None:
        """Take a request out, if it is still here."""
        task = self._tasks.get(job)
        if task is not None:
            self._end(task, None)

    def work(self) -> None:
        """One unit of work of the stage whose turn it is."""
        if self._turns.admits(len(self._tasks) - len(self._lobby)):
            while self._lobby:
                self._advance(self._lobby.popleft(), None)
        busy = [stage for stage, executor in self._executors.items() if executor.has_work]
        if not busy:
            return
        executor = self._executors[self._turns.choose(busy)]
        try:
            executor.load_state()
        except Exception as error:  # the stage cannot be opened: all who are there still wait
            for task in [*executor.waiting]:
                self._end(task, _explained(executor.stage, error))
            return
        self._publish(self.status())
        self._step(executor)

    def end_all(self, refusal: BarkError) -> None:
        """Fail every request that is here. Runs even where anything else has gone wrong."""
        tasks = [*self._tasks.values()]
        self._tasks.clear()
        self._lobby.clear()
        for executor in self._executors.values():
            executor.close()
        self._publish(self.status())
        for task in tasks:
            _settle(task, clone_error(refusal))

    def _step(self, executor: StageExecutor) -> None:
        started = monotonic()
        sequences, finished = executor.step()
        if sequences:
            self._tell(executor.stage, sequences, monotonic() - started)
        for task, entry in finished:
            if entry.error is None:
                self._advance(task, entry.result)
            elif entry.run_failed:
                self._end(task, _explained(executor.stage, entry.error))
            else:
                self._end(task, entry.error)

    def _advance(self, task: EngineRequest, result: object) -> None:
        """Hand a stage's result to a request, and let it enter the next stage."""
        try:
            task.work = task.synthesis.send(result)
        except StopIteration as end:
            self._end(task, end.value)
        except BaseException as error:  # as in batches: it concerns the request alone
            self._end(task, error)
        else:
            together = task.work.stage == "coarse"
            self._enter(task.group.arrive(task) if together else [task])

    def _enter(self, tasks: Sequence[EngineRequest]) -> None:
        for task in tasks:
            assert task.work is not None
            self._executors[task.work.stage].add(task)

    def _end(self, task: EngineRequest, outcome: Speech | BaseException | None) -> None:
        """Take a request out wherever it is; None cancels it."""
        if task.executor is not None:
            task.executor.remove(task)
        if task in self._lobby:
            self._lobby.remove(task)
        task.synthesis.close()
        self._enter(task.group.lose(task))
        del self._tasks[task.job]
        self._publish(self.status())
        _settle(task, outcome)


def clone_error(error: BarkError) -> BarkError:
    """The same error for somebody else: raising one adds to its traceback."""
    again = type(error)(*error.args)
    again.__cause__ = error.__cause__
    return again


def summarize_error(error: BaseException) -> str:
    """An error's kind and the first line of what it says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _explained(stage: Stage, error: BaseException) -> BarkError:
    """What a request fails with when its stage did."""
    if isinstance(error, BarkError):
        return clone_error(error)
    explained = EngineError(f"The {stage} stage failed ({summarize_error(error)}); try again")
    explained.__cause__ = error
    return explained


def _settle(task: EngineRequest, outcome: Speech | BaseException | None) -> None:
    task.job.timings = task.job.timings.with_end(monotonic())
    try:
        task.job.resolve(outcome)
    except BaseException:  # a callback that wants to exit ends nothing but itself
        _log.exception("A callback failed")
    task.owner = None
