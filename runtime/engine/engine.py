"""Engine: one thread that owns the models and generates speech for all callers.

Requests join and leave at every step (continuous batching). State shared with callers is guarded by
one condition; everything else belongs to the `Scheduler`, which only the thread uses.
"""

import atexit
import dataclasses
import logging
import threading
from collections.abc import Sequence
from time import monotonic

from bark_onnx.graphs.errors import BarkError, ClosedError, EngineError
from bark_onnx.runtime.engine.clients import PROGRAM, Client, ClientQuota
from bark_onnx.runtime.engine.fork import OwnProcess
from bark_onnx.runtime.engine.future import RequestTimings, SpeechFuture
from bark_onnx.runtime.engine.observers import Observers
from bark_onnx.runtime.engine.preparation import Preparation
from bark_onnx.runtime.engine.scheduler import Finished, Scheduler, clone_error, summarize_error
from bark_onnx.runtime.engine.stage_executor import EngineRequest, RequestGroup
from bark_onnx.runtime.engine.status import EngineStatus, Observer
from bark_onnx.runtime.inference.models import StageModels
from bark_onnx.runtime.inference.pipeline import SpeechGenerator
from bark_onnx.runtime.inference.resources import start_thread

_EXIT_SECONDS = 60.0  # longest wait of the interpreter's exit for the step that runs
# Poll interval of the idle loop, so that a missed notification cannot block shutdown.
_IDLE_SECONDS = 30.0
_QUEUE_OPTIONS = "max_batch_size and max_queue"
_log = logging.getLogger(__name__)


class Engine:
    """Generates speech in a thread of its own, which starts with `prepare` or the first request.

    The thread is a daemon and does not keep the interpreter alive, but the exit waits for the step
    that runs: ONNX Runtime must not be interrupted. The models are closed when the engine ends.
    `max_queue` limits the unfinished requests beyond `max_batch_size`; None sets no limit.
    """

    def __init__(self, models: StageModels, *, max_queue: int | None = None) -> None:
        self._models = models
        self._process = OwnProcess()
        # Re-entrant, since a garbage collection inside a locked part may call `stop`.
        self._condition = threading.Condition(threading.RLock())
        # Guarded by the condition:
        limit = None if max_queue is None else models.max_batch_size + max_queue
        self._quota = ClientQuota(limit, kind="requests", remedy=_QUEUE_OPTIONS)
        self._incoming: list[EngineRequest] = []
        self._cancelled: list[SpeechFuture] = []
        self._closed_error: BarkError | None = None  # why requests are refused
        self._thread: threading.Thread | None = None
        self._observers = Observers()
        self._preparation = Preparation(models)
        # Used by the thread alone:
        self._scheduler = Scheduler(models)
        self._status = self._scheduler.status()  # guarded: the last published status

    # Called by any thread

    def prepare(self) -> None:
        """Start the thread, and wait until it has prepared the models.

        Raises:
            BarkError: They cannot be prepared; the engine has ended.
        """
        with self._condition:
            self._start()
        self._preparation.wait()

    def submit(
        self,
        generators: Sequence[SpeechGenerator],
        *,
        keepalive: object = None,
        client: Client = PROGRAM,
    ) -> list[SpeechFuture]:
        """Add the requests of one call, each from `generate_speech`: all of them, or none.

        `keepalive` is referenced until the last request is done.

        Raises:
            QueueFullError: Too many requests are unfinished, in all or of this client.
            ClosedError: The engine was closed.
            EngineError: The engine died, or was made before a fork.
        """
        self._process.check()
        group = RequestGroup()
        with self._condition:
            if self._closed_error is not None:
                raise clone_error(self._closed_error)
            if not generators:
                return []
            self._quota.take(client, len(generators))
            self._start()
            timings = RequestTimings(monotonic())
            requests = [
                EngineRequest(SpeechFuture(self, timings), generator, group, client, keepalive)
                for generator in generators
            ]
            group.pending.update(requests)
            self._incoming.extend(requests)
            self._condition.notify_all()
        return [request.future for request in requests]

    def cancel(self, future: SpeechFuture) -> None:
        """Remove a request before the next step."""
        if self._process.is_left:
            return
        with self._condition:
            self._cancelled.append(future)
            self._condition.notify_all()

    def check_may_wait(self) -> None:
        """Raise EngineError where a wait would not end: in the engine's thread, after a fork."""
        self._process.check()
        if threading.current_thread() is self._thread:
            raise EngineError(
                "speak() was called from an engine callback, which would deadlock; use submit() "
                "and add_done_callback()."
            )

    def status(self) -> EngineStatus:
        """Load of the engine: requests that wait and run, slots and counters of every stage."""
        self._process.check()
        with self._condition:
            waiting = self._status.waiting + len(self._incoming)
            return dataclasses.replace(self._status, waiting=waiting)

    def add_observer(self, observer: Observer) -> None:
        """Notify an observer of every step from now on."""
        self._process.check()
        self._observers.add(observer)

    def stop(self) -> None:
        """End the thread after the step that runs, without waiting for it."""
        if self._process.is_left:  # the parent's engine goes on
            return
        with self._condition:
            if self._closed_error is None:
                self._closed_error = ClosedError(
                    "The engine was closed; load the bundle again to generate more speech"
                )
            if self._thread is None:
                self._models.close()
            self._condition.notify_all()

    def close(self, *, timeout: float | None = None) -> None:
        """End the thread and free the models. Unfinished requests fail with ClosedError.

        Waits for the step that runs, for at most `timeout` seconds.
        """
        self.stop()
        if not self._process.is_left and self._thread not in (None, threading.current_thread()):
            self._thread.join(timeout)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = start_thread(self._run, "bark-onnx engine")
            atexit.register(self.close, timeout=_EXIT_SECONDS)

    # Called by the engine's thread

    def _run(self) -> None:
        try:
            if error := self._preparation.run():
                self._closed_error = error
            while self._wait_for_work():
                self._step()
        except BaseException as fault:  # every future is resolved, whatever fails
            _log.exception("The engine died")
            with self._condition:
                self._closed_error = EngineError(
                    f"The engine died ({summarize_error(fault)}); load the bundle again"
                )
                self._closed_error.__cause__ = fault
        finally:
            self._shut_down()

    def _wait_for_work(self) -> bool:
        """Wait until there is work, then pass on new and cancelled requests. False to end."""
        with self._condition:
            while not self._scheduler.requests and not (
                self._incoming or self._cancelled or self._closed_error
            ):
                # A garbage collection in this thread may call `stop`, whose notification is lost.
                self._condition.wait(_IDLE_SECONDS)
            self._receive()
            cancelled, self._cancelled = self._cancelled, []
            if self._closed_error is not None:
                return False
        if cancelled:
            self._finish(self._scheduler.cancel_requests(cancelled))
        return True

    def _receive(self) -> None:
        """Move incoming requests to the scheduler and publish the status. Needs the condition."""
        self._scheduler.add_requests(self._incoming)
        self._incoming.clear()
        self._status = self._scheduler.status()

    def _step(self) -> None:
        self._finish(self._scheduler.schedule())
        result = self._scheduler.step()
        if result is not None:
            self._observers.notify(result.stage, result.batch_size, result.seconds)
            self._finish(result.finished)

    def _finish(self, finished: Finished) -> None:
        """Publish the status, then resolve futures: a request that is done is never counted."""
        with self._condition:
            self._status = self._scheduler.status()
            for request, _ in finished:
                self._quota.release(request.client)
        for request, outcome in finished:
            request.resolve(outcome)

    def _shut_down(self) -> None:
        """Resolve every future that is left, and free the models."""
        with self._condition:
            error = self._closed_error
            self._receive()
        assert error is not None
        self._finish(self._scheduler.fail_all(error))
        self._models.close()
        atexit.unregister(self.close)
