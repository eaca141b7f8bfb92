"""SpeechFuture: the pending result of one request, a `concurrent.futures.Future`."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION, Future, wait
from dataclasses import dataclass, field
from typing import Protocol

from bark_onnx.graphs.contract import Stage
from bark_onnx.runtime.audio.speech import Speech

# Ctrl-C interrupts a thread that waits for a lock late or, on Windows, never: waits are this short.
SIGNAL_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class StageTimes:
    """When a request held a slot of a stage, in seconds of `time.monotonic`."""

    started: float
    finished: float | None = None  # None while it holds the slot


@dataclass(frozen=True)
class RequestTimings:
    """Life of a request, in seconds of `time.monotonic`."""

    submitted: float
    started: float | None = None  # first slot taken; None before that
    finished: float | None = None  # end with speech, with an error or as cancelled
    stages: Mapping[Stage, StageTimes] = field(default_factory=dict)  # stages entered so far

    def with_stage_start(self, stage: Stage, now: float) -> "RequestTimings":
        """Timings after the request took a slot of a stage."""
        stages = {**self.stages, stage: StageTimes(now)}
        started = now if self.started is None else self.started
        return dataclasses.replace(self, started=started, stages=stages)

    def with_stage_end(self, stage: Stage, now: float) -> "RequestTimings":
        """Timings after the request released its slot."""
        times = dataclasses.replace(self.stages[stage], finished=now)
        return dataclasses.replace(self, stages={**self.stages, stage: times})


class EngineHandle(Protocol):
    """What a future needs of the engine."""

    def cancel(self, future: "SpeechFuture") -> None:
        """Remove the request before the next step."""

    def check_may_wait(self) -> None:
        """Raise EngineError in the engine's own thread."""


class SpeechFuture(Future[Speech]):
    """Speech that is being generated; returned by `Bark.submit`.

    A `concurrent.futures.Future`: `concurrent.futures.wait`, `as_completed` and
    `asyncio.wrap_future` accept it. Callbacks run in the engine's thread, or at once in the
    caller's thread if the future is done.

    Attributes:
        timings: Life of the request; replaced whenever it takes or releases a slot.
    """

    def __init__(self, engine: EngineHandle, timings: RequestTimings) -> None:
        super().__init__()
        self.timings = timings
        self._engine: EngineHandle | None = engine

    def __repr__(self) -> str:
        if not self.done():
            state = "running" if self.running() else "waiting"
        elif self.cancelled():
            state = "cancelled"
        else:
            state = "failed" if self.exception() else "done"
        return f"SpeechFuture({state})"

    def running(self) -> bool:
        """Whether the request has begun and is not done."""
        return not self.done() and self.timings.started is not None

    def cancel(self) -> bool:
        """Cancel the request, whether it waits or runs; it releases its slot before the next step.

        The future ends as cancelled shortly afterwards, unless the step that runs now completes it.

        Returns:
            False if the request had already ended in another way.
        """
        if (engine := self._engine) is None:
            return self.cancelled()
        engine.cancel(self)
        return True

    def result(self, timeout: float | None = None) -> Speech:
        """Wait for the speech.

        Args:
            timeout: Longest wait in seconds; None waits until the future is done.

        Raises:
            BarkError: The request failed.
            concurrent.futures.CancelledError: The request was cancelled.
            TimeoutError: The request is not done yet.
            EngineError: The future is not done and the caller is an engine callback.
        """
        self._poll(timeout)
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait as `result` does; return what it would raise for a failed request, or None."""
        self._poll(timeout)
        return super().exception(timeout)

    def check_may_wait(self) -> None:
        """Raise EngineError if the request is unfinished and the caller is an engine callback."""
        if (engine := self._engine) is not None and not self.done():
            engine.check_may_wait()

    def resolve(self, outcome: Speech | BaseException | None) -> None:
        """End with speech, with an error or (None) as cancelled. Only the engine calls this."""
        self._engine = None  # a finished future does not keep the models alive
        if isinstance(outcome, BaseException):
            self.set_exception(outcome)
        elif outcome is not None:
            self.set_result(outcome)
        else:
            try:
                super().cancel()
            finally:  # even if a callback raises SystemExit: others may wait for this future
                self.set_running_or_notify_cancel()

    def _poll(self, timeout: float | None) -> None:
        """Check the thread and, without a timeout, wait until the future is done."""
        self.check_may_wait()
        while timeout is None and not self.done():
            wait([self], timeout=SIGNAL_POLL_SECONDS)


def wait_all(futures: Sequence[SpeechFuture]) -> list[Speech]:
    """Wait for all futures; if one fails or the wait is interrupted, cancel the others.

    Raises:
        Exception: The error of the first future that failed, or the interrupt.
    """
    try:
        for future in futures:
            future.check_may_wait()
        while not (any(map(_has_failed, futures)) or all(future.done() for future in futures)):
            wait(futures, timeout=SIGNAL_POLL_SECONDS, return_when=FIRST_EXCEPTION)
        failed = [future for future in futures if _has_failed(future)]
        return [future.result() for future in failed or futures]
    except BaseException:
        for future in futures:
            future.cancel()
        raise


def wait_any(futures: Collection[SpeechFuture]) -> set[SpeechFuture]:
    """Wait until at least one future is done; return all that are. Empty for no futures.

    Raises:
        EngineError: No future is done and the caller is an engine callback.
    """
    while not (done := {future for future in futures if future.done()}) and futures:
        for future in futures:
            future.check_may_wait()
        wait(futures, timeout=SIGNAL_POLL_SECONDS, return_when=FIRST_COMPLETED)
    return done


def _has_failed(future: SpeechFuture) -> bool:
    return future.done() and (future.cancelled() or future.exception() is not None)
