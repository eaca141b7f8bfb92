"""One engine for many requests: a thread that owns the stages and runs them for everybody.

Requests join and leave at every step (continuous batching). Callers share four things with the
thread, all behind one condition: those that came, those to cancel, how many are not done, and
whether to go on. Everything else belongs to the thread alone.
"""

import atexit
import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from bark_onnx.graphs.contract import STAGES, Stage
from bark_onnx.graphs.errors import BarkError, ClosedError, EngineError, QueueFullError
from bark_onnx.runtime.audio import Speech
from bark_onnx.runtime.desks import Desk, Party, Task
from bark_onnx.runtime.jobs import Job, JobTimings
from bark_onnx.runtime.stages import Stages
from bark_onnx.runtime.synthesis import Synthesis
from bark_onnx.runtime.turns import StageByStage, TakeTurns, Turns

_EXIT_SECONDS = 60.0  # how long the interpreter's exit waits for the unit of work that runs
_IDLE_SECONDS = 30.0  # how often an idle engine looks whether it shall end
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageStatus:
    """How busy one stage is, and what it has done so far."""

    slots: int
    slots_in_use: int
    steps: int  # decode steps (semantic, coarse; no prompts), passes (fine) or runs (codec)
    rows: int  # summed over the steps: rows / steps is the mean batch size


@dataclass(frozen=True)
class EngineStatus:
    """How busy the engine is."""

    stages: Mapping[Stage, StageStatus]
    waiting: int  # jobs that hold no slot: not begun, or between two stages
    running: int  # jobs that hold a slot


class Observer(Protocol):
    """Hears of every step."""

    def on_step(self, stage: Stage, rows: int, seconds: float) -> None:
        """A decode step (one token of each of `rows` requests), a fine pass or a run of the codec.

        Called in the engine's thread; prompts are no steps.
        """


class Engine:
    """Says requests in a thread of its own, which starts with the first one.

    The thread is a daemon: it does not keep the interpreter from exiting, but the exit waits until
    the unit of work that runs is over, as ONNX Runtime must not be cut off in the middle.

    Args:
        stages: of the bundle; closed when the engine ends.
        max_queue: requests that may be unfinished beyond the rows of a stage; None: any number.
    """

    def __init__(self, stages: Stages, *, max_queue: int | None = None) -> None:
        self._stages = stages
        self._bound = None if max_queue is None else stages.max_rows + max_queue
        # Re-entrant, since a garbage collection inside a locked part may call `stop`.
        self._changed = threading.Condition(threading.RLock())
        # Behind the condition:
        self._inbox: deque[Task] = deque()
        self._cancels: deque[Job] = deque()
        self._unfinished = 0
        self._refusal: EngineError | None = None  # why nothing is taken any more
        self._thread: threading.Thread | None = None
        # The thread's own. `_observers` and `_status` are replaced, never changed.
        self._turns: Turns = StageByStage() if stages.low_memory else TakeTurns()
        self._tasks: dict[Job, Task] = {}  # that it has received
        self._lobby: deque[Task] = deque()  # those of them that have not begun
        self._desks = {stage: Desk(stage, stages) for stage in STAGES}
        self._observers: tuple[Observer, ...] = ()
        self._status = self._measure()

    # What callers do

    def submit(self, syntheses: Sequence[Synthesis], *, owner: object) -> list[Job]:
        """Take in the requests of one call: all of them, or none.

        Args:
            syntheses: what to run.
            owner: kept alive until the last one is done.

        Raises:
            QueueFullError: there are too many already.
            ClosedError: the engine was closed.
            EngineError: the engine died.
        """
        party = Party()
        with self._changed:
            self._check_open()
            self._check_room(len(syntheses))
            if not syntheses:
                return []
            self._start()
            timings = JobTimings(monotonic())
            tasks = [Task(Job(self, timings), each, party, owner) for each in syntheses]
            for task in tasks:
                party.add(task)
            self._inbox.extend(tasks)
            self._unfinished += len(tasks)
            self._changed.notify_all()
        return [task.job for task in tasks]

    def cancel(self, job: Job) -> None:
        """Take a job out before the next step."""
        with self._changed:
            self._cancels.append(job)
            self._changed.notify_all()

    def check_may_wait(self) -> None:
        """Refuse to wait in the engine's own thread.

        Raises:
            EngineError: it would wait for itself.
        """
        if threading.current_thread() is self._thread:
            raise EngineError(
                "A callback waits for speech in the thread that would have to say it; "
                "use submit there, and add_done_callback"
            )

    def status(self) -> EngineStatus:
        """How busy it is."""
        with self._changed:
            status = self._status
            waiting = self._unfinished - status.running
        return EngineStatus(status.stages, waiting, status.running)

    def observe(self, observer: Observer) -> None:
        """Have an observer hear of every step from now on."""
        with self._changed:
            self._observers = (*self._observers, observer)

    def stop(self) -> None:
        """Ask the thread to end after the unit of work that runs, and do not wait for it."""
        with self._changed:
            if self._refusal is None:
                self._refusal = ClosedError(
                    "The engine was closed; load the bundle again to say more"
                )
            self._changed.notify_all()

    def close(self) -> None:
        """End the thread and free the models. Jobs that are not done fail with ClosedError."""
        self.stop()
        thread = self._thread
        if thread is None:
            self._stages.close()
        elif thread is not threading.current_thread():
            thread.join()

    def _check_open(self) -> None:
        if self._refusal is not None:
            raise _again(self._refusal)

    def _check_room(self, count: int) -> None:
        if self._bound is not None and self._unfinished + count > self._bound:
            raise QueueFullError(
                f"{self._unfinished} requests are not done and {count} more came, expected at most "
                f"{self._bound} (max_rows and max_queue); try again later"
            )

    def _start(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="bark-onnx engine", daemon=True)
            thread.start()
            self._thread = thread
            atexit.register(self._exit)

    def _exit(self) -> None:
        self.stop()
        if self._thread is not None:
            self._thread.join(_EXIT_SECONDS)

    # What the thread does

    def _run(self) -> None:
        try:
            while self._receive():
                self._work()
        except BaseException as error:  # no job is lost, whatever it is
            _log.exception("The engine died")
            with self._changed:
                self._refusal = EngineError(
                    f"The engine died ({_reason(error)}); load the bundle again"
                )
                self._refusal.__cause__ = error
        finally:
            self._end_all()
            atexit.unregister(self._exit)

    def _receive(self) -> bool:
        """Take in what callers want, and wait while there is nothing to do. False: to end."""
        with self._changed:
            while not (self._inbox or self._cancels or self._tasks or self._refusal):
                # A `stop` that a garbage collection calls in this very thread wakes nobody.
                self._changed.wait(_IDLE_SECONDS)
            if self._refusal is not None:
                return False
            for task in self._inbox:
                self._tasks[task.job] = task
            self._lobby.extend(self._inbox)
            self._inbox.clear()
            cancels = [*self._cancels]
            self._cancels.clear()
        for job in cancels:
            if job in self._tasks:
                self._end(self._tasks[job], None)
        if self._turns.admits(len(self._tasks) - len(self._lobby)):
            while self._lobby:
                self._advance(self._lobby.popleft(), None)
        return True

    def _work(self) -> None:
        """One unit of work of the stage whose turn it is."""
        busy = [stage for stage, desk in self._desks.items() if desk.has_work]
        if not busy:
            return
        desk = self._desks[self._turns.choose(busy)]
        try:
            desk.fill()
        except Exception as error:
            for task in [*desk.waiting]:
                self._end(task, _explained(desk.stage, error))
            return
        with self._changed:
            self._status = self._measure()
        started = monotonic()
        rows, ended = desk.step()
        if rows:
            self._tell(desk.stage, rows, monotonic() - started)
        for task, seat in ended:
            if seat.error is None:
                self._advance(task, seat.result)
            else:
                self._end(task, _explained(desk.stage, seat.error, run=seat.run_failed))

    def _advance(self, task: Task, result: object) -> None:
        """Hand a stage's result to a request, and let it enter the next stage."""
        try:
            task.work = task.synthesis.send(result)
        except StopIteration as end:
            self._end(task, end.value)
        except BaseException as error:  # as in batches: it concerns the request alone
            self._end(task, error)
        else:
            shared = task.work.stage == "coarse"
            self._enter(task.party.arrive(task) if shared else [task])

    def _enter(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            assert task.work is not None
            self._desks[task.work.stage].add(task)

    def _end(self, task: Task, outcome: Speech | BaseException | None) -> None:
        """Take a request out wherever it is, and settle its job."""
        if task.desk is not None:
            task.desk.remove(task)
        if task in self._lobby:
            self._lobby.remove(task)
        del self._tasks[task.job]
        task.synthesis.close()
        self._enter(task.party.lose(task))
        with self._changed:
            self._unfinished -= 1
            self._status = self._measure()
        _settle(task.job, outcome)
        task.owner = None

    def _end_all(self) -> None:
        """Settle every job that is left, and free the models."""
        with self._changed:
            tasks = [*self._tasks.values(), *self._inbox]
            refusal = self._refusal
            for queue in (self._tasks, self._inbox, self._lobby):
                queue.clear()
            for desk in self._desks.values():
                desk.close()
            self._unfinished = 0
            self._status = self._measure()
        assert refusal is not None
        for task in tasks:
            _settle(task.job, _again(refusal))
            task.owner = None
        self._stages.close()

    def _tell(self, stage: Stage, rows: int, seconds: float) -> None:
        for observer in self._observers:
            try:
                observer.on_step(stage, rows, seconds)
            except Exception:
                _log.exception("An observer failed and hears no more")
                with self._changed:
                    self._observers = tuple(o for o in self._observers if o is not observer)

    def _measure(self) -> EngineStatus:
        stages = {
            stage: StageStatus(desk.slots, len(desk.running), desk.steps, desk.rows)
            for stage, desk in self._desks.items()
        }
        running = sum(status.slots_in_use for status in stages.values())
        return EngineStatus(stages, 0, running)


def _settle(job: Job, outcome: Speech | BaseException | None) -> None:
    job.timings = job.timings.ended(monotonic())
    try:
        job.settle(outcome)
    except BaseException:  # a callback that exits the program is the caller's affair
        _log.exception("A callback failed")


def _again(error: BarkError) -> BarkError:
    """The same error for somebody else: raising one adds to its traceback."""
    again = type(error)(*error.args)
    again.__cause__ = error.__cause__
    return again


def _explained(stage: Stage, error: BaseException, *, run: bool = True) -> BaseException:
    """What a request fails with when its stage did; `run` is False where it failed by itself."""
    if not run:
        return error
    if isinstance(error, BarkError):
        return _again(error)
    explained = EngineError(f"The {stage} stage failed ({_reason(error)}); try again")
    explained.__cause__ = error
    return explained


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
