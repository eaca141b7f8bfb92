"""One engine for many requests: a thread that owns the stages and runs them for everybody.

Requests join and leave at every step (continuous batching). What callers and the thread share is
behind one condition; everything else is the `Scheduler`, which belongs to the thread alone.
"""

import atexit
import logging
import threading
from collections import deque
from collections.abc import Sequence
from time import monotonic

from bark_onnx.graphs.contract import Stage
from bark_onnx.graphs.errors import BarkError, ClosedError, EngineError, QueueFullError
from bark_onnx.runtime.engine.future import RequestTimings, SpeechFuture
from bark_onnx.runtime.engine.scheduler import Scheduler, clone_error, summarize_error
from bark_onnx.runtime.engine.stage_executor import EngineRequest, RequestGroup
from bark_onnx.runtime.engine.status import EngineStatus, Observer
from bark_onnx.runtime.inference.models import StageModels
from bark_onnx.runtime.inference.pipeline import Synthesis

_EXIT_SECONDS = 60.0  # how long the interpreter's exit waits for the unit of work that runs
_IDLE_SECONDS = 30.0  # how often an idle engine looks whether it shall end
_log = logging.getLogger(__name__)


class Engine:
    """Says requests in a thread of its own, which starts with the first one.

    The thread is a daemon: it does not keep the interpreter from exiting, but the exit waits until
    the unit of work that runs is over, as ONNX Runtime must not be cut off in the middle.

    Args:
        stages: of the bundle; closed when the engine ends.
        max_queue: requests that may be unfinished beyond the rows of a stage; None: any number.
    """

    def __init__(self, stages: StageModels, *, max_queue: int | None = None) -> None:
        self._stages = stages
        self._bound = None if max_queue is None else stages.max_batch_size + max_queue
        # Re-entrant, since a garbage collection inside a locked part may call `stop`.
        self._changed = threading.Condition(threading.RLock())
        # Shared, and touched behind the condition only:
        self._inbox: deque[EngineRequest] = deque()  # came, and not received yet
        self._cancels: deque[SpeechFuture] = deque()
        self._refusal: BarkError | None = None  # why nothing is taken any more
        self._thread: threading.Thread | None = None
        self._observers: tuple[Observer, ...] = ()
        # The thread's own:
        self._floor = Scheduler(stages, publish=self._publish, tell=self._tell)
        self._status = self._floor.status()  # shared again: the last that was published

    # What callers do

    def submit(self, syntheses: Sequence[Synthesis], *, owner: object) -> list[SpeechFuture]:
        """Take in the requests of one call: all of them, or none.

        Args:
            syntheses: what to run.
            owner: kept alive until the last one is done.

        Raises:
            QueueFullError: there are too many already.
            ClosedError: the engine was closed.
            EngineError: the engine died.
        """
        group = RequestGroup()
        with self._changed:
            self._check_open()
            self._check_room(len(syntheses))
            if not syntheses:
                return []
            self._start()
            timings = RequestTimings(monotonic())
            tasks = [
                EngineRequest(SpeechFuture(self, timings), each, group, owner) for each in syntheses
            ]
            for task in tasks:
                group.add(task)
            self._inbox.extend(tasks)
            self._changed.notify_all()
        return [task.job for task in tasks]

    def cancel(self, future: SpeechFuture) -> None:
        """Remove a request before the next step."""
        with self._changed:
            self._cancels.append(future)
            self._changed.notify_all()

    def check_may_wait(self) -> None:
        """Refuse to wait in the engine's own thread.

        Raises:
            EngineError: it would wait for itself.
        """
        if threading.current_thread() is self._thread:
            raise EngineError(
                "speak() was called from an engine callback, which would deadlock; use submit() "
                "and add_done_callback()."
            )

    def status(self) -> EngineStatus:
        """How busy it is."""
        with self._changed:
            status, come = self._status, len(self._inbox)
        return EngineStatus(status.stages, status.waiting + come, status.running)

    def add_observer(self, observer: Observer) -> None:
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
            if self._thread is None:
                self._stages.close()
            self._changed.notify_all()

    def close(self) -> None:
        """End the thread and free the models. Jobs that are not done fail with ClosedError."""
        self.stop()
        if self._thread not in (None, threading.current_thread()):
            self._thread.join()

    def _check_open(self) -> None:
        if self._refusal is not None:
            raise clone_error(self._refusal)

    def _check_room(self, count: int) -> None:
        unfinished = len(self._inbox) + self._status.waiting + self._status.running
        if self._bound is not None and unfinished + count > self._bound:
            raise QueueFullError(
                f"{unfinished} requests are not done and {count} more came, expected at most "
                f"{self._bound} (max_batch_size and max_queue); try again later"
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
                self._floor.work()
        except BaseException as error:  # no job is lost, whatever it is
            _log.exception("The engine died")
            with self._changed:
                self._refusal = EngineError(
                    f"The engine died ({summarize_error(error)}); load the bundle again"
                )
                self._refusal.__cause__ = error
        finally:
            self._end()

    def _receive(self) -> bool:
        """Take in what callers want, and wait while there is nothing to do. False: to end."""
        with self._changed:
            while self._floor.is_empty and not (self._inbox or self._cancels or self._refusal):
                # A `stop` that a garbage collection calls in this very thread wakes nobody.
                self._changed.wait(_IDLE_SECONDS)
            self._floor.receive(self._inbox)
            self._inbox.clear()
            self._status = self._floor.status()
            cancels = [*self._cancels]
            self._cancels.clear()
            if self._refusal is not None:
                return False
        for job in cancels:
            self._floor.cancel(job)
        return True

    def _publish(self, status: EngineStatus) -> None:
        with self._changed:
            self._status = status

    def _tell(self, stage: Stage, sequences: int, seconds: float) -> None:
        for observer in self._observers:
            try:
                observer.on_step(stage, sequences, seconds)
            except Exception:
                _log.exception("An observer failed and hears no more")
                with self._changed:
                    self._observers = tuple(o for o in self._observers if o is not observer)

    def _end(self) -> None:
        """Nothing comes any more: settle every job that is left, and free the models."""
        with self._changed:
            refusal = self._refusal
            self._floor.receive(self._inbox)
            self._inbox.clear()
        assert refusal is not None
        self._floor.end_all(refusal)
        self._stages.close()
        atexit.unregister(self._exit)
