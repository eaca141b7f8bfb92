"""Has segments said by speaker replicas, for callers in any thread: the engine of `RemoteBark`.

Runs an event loop in a thread of its own, in which the calls of all callers wait.
"""

import asyncio
import dataclasses
import threading
from collections.abc import Sequence
from functools import partial
from time import monotonic

from bark_onnx.graphs.errors import ClosedError, EngineError
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.cluster.speakers import Speakers
from bark_onnx.runtime.engine.clients import Client, ClientQuota
from bark_onnx.runtime.engine.future import RequestTimings, SpeechFuture
from bark_onnx.runtime.inference.pipeline import Request
from bark_onnx.runtime.inference.resources import start_thread
from bark_onnx.runtime.server.logs import log

_COUNT_SECONDS = 1.0  # between two counts of the replicas
_QUEUE_OPTIONS = "max_batch_size, replicas and max_queue"


class RemoteEngine:
    """Passes requests to speaker replicas.

    Args:
        speakers: The replicas.
        places: Requests that may be unfinished at a time, shared among clients.

    Attributes:
        replicas: Number of replicas that took segments when it was last counted.
        handle: Ray's handle of their deployment.
    """

    def __init__(self, speakers: Speakers, *, places: int) -> None:
        self.replicas = 0
        self.handle = speakers.handle
        self._speakers = speakers
        self._lock = threading.Lock()  # guards the two below
        self._quota = ClientQuota(places, kind="segments", remedy=_QUEUE_OPTIONS)
        self._is_closed = False
        self._tasks: dict[SpeechFuture, asyncio.Task[Speech]] = {}  # used by the loop alone
        self._loop = asyncio.new_event_loop()
        self._thread = start_thread(self._run, "bark-onnx cluster")

    @property
    def unfinished(self) -> int:
        """Number of requests that are not finished."""
        return self._quota.held

    def submit(self, requests: Sequence[Request], client: Client) -> list[SpeechFuture]:
        """Have the requests of one call said: all of them, or none.

        Raises:
            QueueFullError: Too many requests are unfinished, in all or of this client.
            ClosedError: `close` was called.
        """
        with self._lock:
            if self._is_closed:
                raise ClosedError("The connection to the speakers was closed")
            self._quota.take(client, len(requests))
            futures = [SpeechFuture(self, RequestTimings(monotonic())) for _ in requests]
            for future, request in zip(futures, requests, strict=True):
                self._loop.call_soon_threadsafe(self._start, future, request, client)
        return futures

    def cancel(self, future: SpeechFuture) -> None:
        """Cancel a request wherever it waits or runs."""
        with self._lock:
            if not self._is_closed:
                self._loop.call_soon_threadsafe(self._cancel, future)

    def check_may_wait(self) -> None:
        """Raise EngineError in the thread of the event loop, which would wait for itself."""
        if threading.current_thread() is self._thread:
            raise EngineError("speak() was called from a callback; use submit() instead")

    def close(self) -> None:
        """Cancel unfinished requests, which fail with ClosedError, and end the thread."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._loop.call_soon_threadsafe(self._loop.stop)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    # Called in the thread of the event loop

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        counting = self._loop.create_task(self._count())
        self._loop.run_forever()
        tasks = [counting, *self._tasks.values()]
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    def _start(self, future: SpeechFuture, request: Request, client: Client) -> None:
        future.timings = dataclasses.replace(future.timings, started=monotonic())
        task = self._loop.create_task(self._speakers.say(request, client))
        task.add_done_callback(partial(self._finish, future, client))
        self._tasks[future] = task

    def _cancel(self, future: SpeechFuture) -> None:
        if (task := self._tasks.get(future)) is not None:
            task.cancel()

    def _finish(self, future: SpeechFuture, client: Client, task: asyncio.Task[Speech]) -> None:
        outcome: Speech | BaseException | None
        if task.cancelled():
            outcome = ClosedError("The server has ended") if self._is_closed else None
        else:
            outcome = task.exception() or task.result()
        del self._tasks[future]
        with self._lock:
            self._quota.release(client)
        future.timings = future.timings.with_end(monotonic())
        future.resolve(outcome)

    async def _count(self) -> None:
        while True:
            try:
                self.replicas = await self._speakers.count()
            except Exception as error:  # the controller restarts: the last number holds
                log.debug("replicas not counted", extra={"fields": {"error": repr(error)}})
            await asyncio.sleep(_COUNT_SECONDS)
