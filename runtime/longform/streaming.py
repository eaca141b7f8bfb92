"""Drivers of the window: a generator, an async generator, and one for several texts at once."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Collection, Generator, Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

from bark_onnx.graphs.contract import Stage
from bark_onnx.graphs.errors import BarkError, QueueFullError
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.engine.future import SpeechFuture, wait_any
from bark_onnx.runtime.inference.progress import OnProgress
from bark_onnx.runtime.longform.plan import StreamPlan
from bark_onnx.runtime.longform.window import SegmentTask, SegmentWindow

_RETRY_SECONDS = 0.05  # between two tries to submit to a full queue

SubmitSegment = Callable[[SegmentTask, OnProgress | None], SpeechFuture]  # to the engine


@dataclass(frozen=True)
class FinishedText:
    """One of several texts, complete or failed."""

    index: int  # position of its plan
    speeches: list[Speech]
    error: BarkError | None  # why `speeches` is incomplete
    seconds: float  # from its first submission to its end


class _InFlight:
    """The submitted tasks of one text; `wrap` makes what the driver waits for from a future."""

    def __init__(
        self,
        plan: StreamPlan,
        submit: SubmitSegment,
        on_progress: OnProgress | None = None,
        *,
        wrap: Callable[[SpeechFuture], Any] = lambda future: future,
    ) -> None:
        self.window = SegmentWindow(plan)
        self.tasks: dict[Any, SegmentTask] = {}  # by future
        self._submit = submit
        self._on_progress = on_progress
        self._wrap = wrap

    def advance(self) -> Speech | None:
        """Collect what is done, submit what may run, and return the next speech if it is ready.

        Raises:
            QueueFullError: The engine's queue is full, and nothing was submitted yet.
            BarkError: The segment that would be returned next failed.
        """
        self._collect()
        self._submit_ready()
        speech = self.window.pop_ready()
        if speech is not None:
            self._submit_ready()
        return speech

    def cancel(self) -> None:
        """Cancel every task that is not done."""
        for future in self.tasks:
            future.cancel()
            if future.done() and not future.cancelled():
                future.exception()  # retrieved, so that asyncio does not log it

    def _collect(self) -> None:
        done = [future for future in self.tasks if future.done()]
        for future in sorted(done, key=lambda future: self.tasks[future].index):
            task = self.tasks.pop(future)
            try:
                result: Speech | BaseException = future.result()
            except (Exception, asyncio.CancelledError) as error:
                result = error
            self.window.add_result(task, result)

    def _submit_ready(self) -> None:
        while (task := self.window.next_task()) is not None:
            report = self._on_progress and partial(self._report, self._on_progress, task.index)
            try:
                future = self._submit(task, report)
            except QueueFullError:
                if not self.window.has_started:
                    raise
                return
            except BarkError as error:
                self.window.mark_submitted(task)
                self.window.add_result(task, error)
            else:
                self.window.mark_submitted(task)
                self.tasks[self._wrap(future)] = task

    def _report(
        self, on_progress: OnProgress, index: int, stage: Stage, done: int, total: int
    ) -> None:
        """Report the progress of a segment if it is returned next."""
        if index == self.window.next_index:
            on_progress(stage, done, total)


def stream(
    plan: StreamPlan, submit: SubmitSegment, on_progress: OnProgress | None = None
) -> Generator[Speech]:
    """Generate the segments of a text, and yield each speech as soon as it is the next one.

    While the caller uses a speech, those behind it are generated. Closing the generator cancels
    them.

    Raises:
        BarkError: A segment failed; those before it were yielded.
    """
    flight = _InFlight(plan, submit, on_progress)
    try:
        while not flight.window.is_finished:
            if (speech := flight.advance()) is not None:
                yield speech
            else:
                _wait(flight.tasks)
    finally:
        flight.cancel()


async def astream(
    plan: StreamPlan, submit: SubmitSegment, on_progress: OnProgress | None = None
) -> AsyncGenerator[Speech]:
    """Generate the segments of a text as `stream` does, in a running event loop."""
    flight = _InFlight(plan, submit, on_progress, wrap=asyncio.wrap_future)
    try:
        while not flight.window.is_finished:
            if (speech := flight.advance()) is not None:
                yield speech
            elif flight.tasks:
                await asyncio.wait(flight.tasks, return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(_RETRY_SECONDS)
    finally:
        flight.cancel()


@dataclass
class _ActiveText:
    """A text of `stream_many` that has begun."""

    flight: _InFlight
    speeches: list[Speech] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)


def stream_many(
    plans: Iterable[StreamPlan], submit: SubmitSegment, *, concurrency: int
) -> Generator[FinishedText]:
    """Generate several texts, and yield each when it is complete or failed.

    Closing the generator cancels the texts that are not complete.

    Args:
        plans: Plans of the texts; each is taken when its text begins.
        submit: Submits a task.
        concurrency: Texts that are generated at the same time.
    """
    waiting = enumerate(plans)
    active: dict[int, _ActiveText] = {}
    try:
        while True:
            for index, plan in islice(waiting, concurrency - len(active)):
                active[index] = _ActiveText(_InFlight(plan, submit))
            if not active:
                return
            ends = [_advance_text(index, text) for index, text in active.items()]
            finished = [end for end in ends if end is not None]
            for end in finished:
                del active[end.index]
            yield from finished
            if not finished:
                _wait([future for text in active.values() for future in text.flight.tasks])
    finally:
        for text in active.values():
            text.flight.cancel()


def _advance_text(index: int, text: _ActiveText) -> FinishedText | None:
    """Take every speech of a text that is ready; its end, if it has ended."""
    error = None
    try:
        while not text.flight.window.is_finished:
            speech = text.flight.advance()
            if speech is None:
                return None
            text.speeches.append(speech)
    except QueueFullError:
        return None
    except BarkError as caught:
        error = caught
        text.flight.cancel()
    return FinishedText(index, text.speeches, error, time.perf_counter() - text.started)


def _wait(futures: Collection[SpeechFuture]) -> None:
    """Wait until a future is done; a moment, where a full queue has left none."""
    if futures:
        wait_any(futures)
    else:
        time.sleep(_RETRY_SECONDS)
