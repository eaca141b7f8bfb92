"""Who is being served, and how serving ends: what runs may finish, what is new is refused."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bark_onnx.graphs.errors import QueueFullError
from bark_onnx.runtime.server.errors import shutting_down


class AdmissionController:
    """Lets requests in until the server is to stop.

    Args:
        shutdown_seconds: what those inside may take to leave after that.
        most: that may be inside at once.
    """

    def __init__(self, shutdown_seconds: float, most: int) -> None:
        self.draining = False
        self.over_since: float | None = None  # seconds of the loop's clock
        self._most = most
        self._shutdown_seconds = shutdown_seconds
        self._inside: set[Callable[[], object]] = set()

    @property
    def count(self) -> int:
        """How many are inside."""
        return len(self._inside)

    @contextmanager
    def enter(self, give_up: Callable[[], object]) -> Iterator[None]:
        """Be inside for as long as the context lasts.

        Args:
            give_up: called when the time to leave is over; must make the context end soon.

        Raises:
            ApiError: the server is stopping.
            QueueFullError: too many are inside.
        """
        if self.draining:
            raise shutting_down()
        if len(self._inside) >= self._most:
            raise QueueFullError(
                f"{self._most} requests are being answered; expected fewer (--max-connections); "
                "try again later"
            )
        self._inside.add(give_up)
        try:
            yield
        finally:
            self._inside.discard(give_up)

    def drain(self) -> None:
        """Let nobody in any more, and make those inside leave when their time is over."""
        if not self.draining:
            self.draining = True
            asyncio.get_running_loop().call_later(self._shutdown_seconds, self.give_up)

    def give_up(self) -> None:
        """Make everybody leave now."""
        self.over_since = asyncio.get_running_loop().time()
        for give_up in [*self._inside]:
            give_up()
