"""Admission control: requests are admitted up to a limit, and until the server drains."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bark_onnx.runtime.engine.clients import Client, ClientQuota
from bark_onnx.runtime.server.errors import shutting_down


class AdmissionController:
    """Counts running requests, refuses new ones while draining, and aborts the last ones.

    Args:
        limit: Maximum number of requests running at once.
        shutdown_seconds: Time that running requests have to finish after `drain`.

    Attributes:
        is_draining: Whether `drain` was called.
        drain_deadline_passed_at: Time of the event loop when that time was over; None before.
    """

    def __init__(self, *, limit: int, shutdown_seconds: float) -> None:
        self.is_draining = False
        self.drain_deadline_passed_at: float | None = None
        self._quota = ClientQuota(limit, kind="requests", remedy="--max-connections")
        self._shutdown_seconds = shutdown_seconds
        self._running: set[Callable[[], object]] = set()

    @property
    def running(self) -> int:
        """Number of requests that are running."""
        return len(self._running)

    @contextmanager
    def admit(self, client: Client, abort: Callable[[], object]) -> Iterator[None]:
        """Count a request as running for the duration of the context.

        Args:
            client: Client whose request it is.
            abort: Called when the time to drain is over; must end the context soon.

        Raises:
            ApiError: The server is draining.
            QueueFullError: Too many requests are running, in all or of this client.
        """
        if self.is_draining:
            raise shutting_down()
        self._quota.take(client)
        self._running.add(abort)
        try:
            yield
        finally:
            self._running.discard(abort)
            self._quota.release(client)

    def drain(self) -> None:
        """Admit no further request, and abort those that do not finish in time."""
        if not self.is_draining:
            self.is_draining = True
            asyncio.get_running_loop().call_later(self._shutdown_seconds, self.abort_all)

    def abort_all(self) -> None:
        """Abort every running request."""
        self.drain_deadline_passed_at = asyncio.get_running_loop().time()
        for abort in [*self._running]:
            abort()
