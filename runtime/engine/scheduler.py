"""Scheduler: tracks the stage of each request and runs one step at a time. Single-threaded."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic

from bark_onnx.graphs.contract import STAGES, Stage
from bark_onnx.graphs.errors import BarkError, EngineError, first_line
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.engine.future import SpeechFuture
from bark_onnx.runtime.engine.policy import RoundRobinPolicy, StageSequentialPolicy
from bark_onnx.runtime.engine.stage_executor import EngineRequest, StageExecutor
from bark_onnx.runtime.engine.status import EngineStatus, StageStatus
from bark_onnx.runtime.inference.models import StageModels
from bark_onnx.runtime.inference.resources import is_memory_error

_FREE_MEMORY = "free some memory, or load with low_memory"
_EXPORT_AGAIN = "the bundle may be damaged: export it again, or report this"

# Requests that ended, with their speech, their error, or None for a cancelled one.
Finished = list[tuple[EngineRequest, Speech | BaseException | None]]


@dataclass(frozen=True)
class StepResult:
    """Outcome of one step."""

    stage: Stage
    batch_size: int  # sequences that shared the step; 0 for a prefill or if nothing was run
    seconds: float
    finished: Finished


class Scheduler:
    """Moves requests through the stages. It resolves no future: whatever ends is returned."""

    def __init__(self, models: StageModels) -> None:
        self.policy = StageSequentialPolicy() if models.low_memory else RoundRobinPolicy()
        self.requests: dict[SpeechFuture, EngineRequest] = {}  # have not ended
        self._waiting: deque[EngineRequest] = deque()  # have not begun
        self._executors = {stage: StageExecutor(stage, models) for stage in STAGES}
        self._scheduled: StageExecutor | None = None
        self._finished: Finished = []  # ended and not returned yet

    def status(self) -> EngineStatus:
        """Load and counters of every stage."""
        stages = {
            stage: StageStatus(each.slots, len(each.running), each.steps, each.sequences)
            for stage, each in self._executors.items()
        }
        running = sum(status.slots_in_use for status in stages.values())
        return EngineStatus(stages, len(self.requests) - running, running)

    def add_requests(self, requests: Iterable[EngineRequest]) -> None:
        """Add requests; they begin when the policy admits them."""
        for request in requests:
            self.requests[request.future] = request
            self._waiting.append(request)

    def cancel_requests(self, futures: Iterable[SpeechFuture]) -> Finished:
        """End the requests of these futures, except those that have ended already."""
        for future in futures:
            if future in self.requests:
                self._finish(self.requests[future], None)
        return self._take_finished()

    def schedule(self) -> Finished:
        """Begin requests, choose the stage of the next step and fill its slots.

        Returns:
            Requests that ended instead, such as those of a stage that cannot be opened.
        """
        if self.policy.can_admit(len(self.requests) - len(self._waiting)):
            while self._waiting:
                self._advance(self._waiting.popleft(), None)
        self._scheduled = None
        busy = [stage for stage, executor in self._executors.items() if executor.has_work]
        if busy:
            executor = self._executors[self.policy.next_stage(busy)]
            try:
                executor.fill_slots()
                self._scheduled = executor
            except Exception as error:  # the model cannot be opened: the stage runs no request yet
                for request in [*executor.waiting]:
                    self._finish(request, stage_error(executor.stage, error))
        return self._take_finished()

    def step(self) -> StepResult | None:
        """Run one step of the scheduled stage. None if nothing can run."""
        executor = self._scheduled
        if executor is None:
            return None
        started = monotonic()
        batch_size, left = executor.step()
        seconds = monotonic() - started
        for request, entry in left:
            if entry.error is None:
                self._advance(request, entry.result)
            elif entry.is_run_error:
                self._finish(request, stage_error(executor.stage, entry.error))
            else:
                self._finish(request, entry.error)
        return StepResult(executor.stage, batch_size, seconds, self._take_finished())

    def fail_all(self, error: BarkError) -> Finished:
        """End every request with an error. Works even after any other method has failed."""
        self._finished += [(request, clone_error(error)) for request in self.requests.values()]
        self.requests.clear()
        self._waiting.clear()
        for executor in self._executors.values():
            executor.close()
        return self._take_finished()

    def _advance(self, request: EngineRequest, result: object) -> None:
        """Send a stage's result (None begins the request) and queue the request's next call."""
        try:
            request.stage_call = request.generator.send(result)
        except StopIteration as end:
            self._finish(request, end.value)
        except BaseException as error:  # as in batches: it ends this request alone
            self._finish(request, error)
        else:
            needs_barrier = request.stage_call.stage == "coarse"
            self._enqueue(request.group.reach_barrier(request) if needs_barrier else [request])

    def _enqueue(self, requests: Iterable[EngineRequest]) -> None:
        for request in requests:
            assert request.stage_call is not None
            self._executors[request.stage_call.stage].add(request)

    def _finish(self, request: EngineRequest, outcome: Speech | BaseException | None) -> None:
        """Remove a request wherever it is; None as outcome cancels it."""
        if request.executor is not None:
            request.executor.remove(request)
        if request in self._waiting:
            self._waiting.remove(request)
        request.generator.close()
        self._enqueue(request.group.drop(request))
        del self.requests[request.future]
        self._finished.append((request, outcome))

    def _take_finished(self) -> Finished:
        finished, self._finished = self._finished, []
        return finished


def clone_error(error: BarkError) -> BarkError:
    """Equal error for another caller: raising one error twice would mix their tracebacks."""
    clone = type(error)(*error.args)
    clone.__cause__ = error.__cause__
    return clone


def summarize_error(error: BaseException) -> str:
    """Type of an error and the first line of its message."""
    name, line = type(error).__name__, first_line(error)
    return name if line == name else f"{name}: {line}"


def stage_error(stage: Stage, error: BaseException) -> BarkError:
    """Error of a request whose stage failed."""
    if isinstance(error, BarkError):
        return clone_error(error)
    remedy = _FREE_MEMORY if is_memory_error(error) else _EXPORT_AGAIN
    wrapped = EngineError(f"The {stage} stage failed ({summarize_error(error)}); {remedy}")
    wrapped.__cause__ = error
    return wrapped
