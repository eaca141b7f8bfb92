"""Whether speech can be generated: not while every request fails, until an attempt succeeds."""

import asyncio
from collections.abc import Callable

from bark_onnx.runtime.server.errors import ApiError
from bark_onnx.runtime.server.logs import log

_MAX_FAILURES = 3  # in a row
_PROBE_SECONDS = 5.0  # between two attempts


class Readiness:
    """Counts requests that failed in a row, and tries from time to time whether one succeeds.

    Args:
        probe: Function that generates a little speech; called in a worker thread.
    """

    def __init__(self, probe: Callable[[], object]) -> None:
        self._probe = probe
        self._failures = 0
        self._task: asyncio.Task[None] | None = None
        self._probed = 0.0

    def on_end(self, outcome: str) -> None:
        """Count a speech request that has ended."""
        if outcome == "failed":
            self._failures += 1
        elif outcome == "ok":
            self._failures = 0

    def check(self) -> None:
        """Check that requests succeed; the load balancer's calls trigger the attempts.

        Raises:
            ApiError: The last requests failed.
        """
        if self._failures < _MAX_FAILURES:
            return
        now = asyncio.get_running_loop().time()
        if self._task is None and now - self._probed >= _PROBE_SECONDS:
            self._probed = now
            self._task = asyncio.create_task(self._try())
        raise ApiError(
            503,
            f"The last {self._failures} speech requests failed; the server's log has the causes",
            code="failing",
            retry_seconds=round(_PROBE_SECONDS),
        )

    async def _try(self) -> None:
        try:
            await asyncio.to_thread(self._probe)
        except Exception:
            log.exception("not ready")
        else:
            self._failures = 0
            log.info("ready again")
        finally:
            self._task = None
