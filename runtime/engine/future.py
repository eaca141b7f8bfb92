"""A text that is being said: what its caller holds."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from dataclasses import dataclass, field
from typing import Protocol

from bark_onnx.graphs.contract import Stage
from bark_onnx.runtime.audio.speech import Speech

# Ctrl-C reaches a thread that waits for a lock late or, on Windows, not at all: look up this often.
_LOOK_UP_SECONDS = 0.2


@dataclass(frozen=True)
class StageTimes:
    """When a job held a slot of a stage, in seconds of `time.monotonic`."""

    started: float
    finished: float | None = None  # None while it holds the slot


@dataclass(frozen=True)
class RequestTimings:
    """When things happened to a job, in seconds of `time.monotonic`."""

    submitted: float
    started: float | None = None  # took its first slot; None while it waits for that
    finished: float | None = None  # ended, however it did
    stages: Mapping[Stage, StageTimes] = field(default_factory=dict)  # those it has come to

    def with_stage_start(self, stage: Stage, now: float) -> "RequestTimings":
        """The job took a slot of a stage."""
        stages = {**self.stages, stage: StageTimes(now)}
        started = now if self.started is None else self.started
        return dataclasses.replace(self, started=started, stages=stages)

    def with_stage_end(self, stage: Stage, now: float) -> "RequestTimings":
        """The job gave its slot back."""
        times = dataclasses.replace(self.stages[stage], finished=now)
        return dataclasses.replace(self, stages={**self.stages, stage: times})

    def with_end(self, now: float) -> "RequestTimings":
        """The job is done."""
        return dataclasses.replace(self, finished=now)


class EngineHandle(Protocol):
    """The engine, as a job sees it."""

    def cancel(self, job: "SpeechFuture") -> None:
        """Take the job out before the next step."""

    def check_may_wait(self) -> None:
        """Refuse to wait in the thread that would have to do the work."""


class SpeechFuture:
    """A text that waits, is being said, or is done. Made by `Bark.submit`.

    Attributes:
        timings: when things happened to it; replaced as they happen.
    """

    def __init__(self, engine: EngineHandle, timings: RequestTimings) -> None:
        self.timings = timings
        self._engine: EngineHandle | None = engine
        self._future: Future[Speech] = Future()

    def __repr__(self) -> str:
        if not self.done:
            state = "waits" if self.timings.started is None else "runs"
        elif self.cancelled:
            state = "cancelled"
        else:
            state = "failed" if self._future.exception() else "done"
        return f"Job({state})"

    @property
    def done(self) -> bool:
        """Whether it has ended: with speech, with an error, or because it was cancelled."""
        return self._future.done()

    @property
    def cancelled(self) -> bool:
        """Whether it ended because it was cancelled."""
        return self._future.cancelled()

    def result(self, timeout: float | None = None) -> Speech:
        """Wait for the speech.

        Args:
            timeout: seconds to wait at most; None waits for as long as it takes.

        Raises:
            BarkError: what went wrong.
            concurrent.futures.CancelledError: it was cancelled.
            TimeoutError: it is not done yet.
            EngineError: it is not done, and a callback in the engine's own thread asks.
        """
        self._check_may_wait()
        if timeout is None:
            while wait([self._future], timeout=_LOOK_UP_SECONDS).not_done:
                pass
        return self._future.result(timeout)

    def cancel(self) -> None:
        """Ask for its end; it gives its slot back before the next step. No-op when it is done."""
        engine = self._engine
        if engine is not None:
            engine.cancel(self)

    def add_done_callback(self, callback: "Callable[[SpeechFuture], None]") -> None:
        """Have a function called with this job when it is done.

        It is called in the engine's thread, or at once in the caller's if the job is done. What it
        raises is logged (`concurrent.futures`) and disturbs nobody.
        """
        self._future.add_done_callback(lambda _: callback(self))

    def settle(self, outcome: Speech | BaseException | None) -> None:
        """End it: with speech, with an error, or (None) as cancelled. For the engine alone."""
        self._engine = None  # a job that is kept does not keep the models
        if outcome is None:
            self._future.cancel()
            self._future.set_running_or_notify_cancel()
        elif isinstance(outcome, BaseException):
            self._future.set_exception(outcome)
        else:
            self._future.set_result(outcome)

    def _check_may_wait(self) -> None:
        engine = self._engine
        if engine is not None and not self.done:
            engine.check_may_wait()


def wait_all(jobs: Sequence[SpeechFuture]) -> list[Speech]:
    """Wait for several jobs; where one fails, or the waiting is interrupted, cancel the others.

    Raises:
        Exception: what the first job that failed raised, or what interrupted the waiting.
    """
    try:
        for job in jobs:
            job._check_may_wait()
        while not _settled(jobs):
            pass
        failed = [job for job in jobs if _failed(job)]
        return [job.result() for job in failed or jobs]
    except BaseException:
        for job in jobs:
            job.cancel()
        raise


def _settled(jobs: Sequence[SpeechFuture]) -> bool:
    """Wait a moment for all jobs to be done, or one to fail; whether that is so."""
    futures = [job._future for job in jobs]
    waiting = wait(futures, timeout=_LOOK_UP_SECONDS, return_when=FIRST_EXCEPTION).not_done
    return not waiting or any(_failed(job) for job in jobs)


def _failed(job: SpeechFuture) -> bool:
    return job.done and (job.cancelled or job._future.exception() is not None)
