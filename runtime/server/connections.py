"""Drops connections whose clients keep the server waiting; uvicorn has no limits for that.

Its keep-alive timeout holds between two requests only: the first byte of a head ends it, and an
answer that nobody reads is kept for ever. Knows nothing of what is asked and answered.
"""

import asyncio
import socket
import struct
from collections.abc import Collection
from dataclasses import dataclass

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from bark_onnx.runtime.server.logs import log


@dataclass
class _Seen:
    """A connection as it was when it last changed."""

    cycle: RequestResponseCycle | None  # its newest request
    is_answered: bool  # to the end; it is the client's turn
    since: float  # seconds of the watch's clock; when those two were as they are
    unsent_bytes: int  # that the client has not made room for
    moved: float  # when that number changed


class IdleConnectionReaper:
    """Looks at all connections now and then.

    Args:
        client_seconds: what a client may take to send a request, or to go on reading an answer.
        request_seconds: after so long, what is still unread of an answer is not waited for.
        most: connections at once; beyond, those that have waited longest for a request go.
    """

    def __init__(self, *, client_seconds: float, request_seconds: float, most: int) -> None:
        self._client_seconds = client_seconds
        self._request_seconds = request_seconds
        self._most = most
        self._seen: dict[H11Protocol, _Seen] = {}

    def look(self, connections: Collection[H11Protocol], now: float) -> None:
        """Drop whoever has kept the server waiting for too long.

        Args:
            connections: that are open.
            now: seconds of a clock that never goes back.
        """
        self._seen = {each: _look(each, self._seen.get(each), now) for each in connections}
        late = [each for each, seen in self._seen.items() if self._is_late(seen, now)]
        self._drop(late, "too slow")
        waiting = [each for each, seen in self._seen.items() if _is_waiting(seen)]
        waiting.sort(key=lambda each: self._seen[each].since)
        self._drop(waiting[: max(len(self._seen) - self._most, 0)], "too many")

    def drop_all(self, connections: Collection[H11Protocol]) -> None:
        """Wait for nobody any more."""
        self._seen = {}
        _abort(connections, "shutting down")

    def _is_late(self, seen: _Seen, now: float) -> bool:
        if seen.unsent_bytes:
            return (
                now - seen.moved > self._client_seconds or now - seen.since > self._request_seconds
            )
        return seen.is_answered and now - seen.since > self._client_seconds

    def _drop(self, connections: Collection[H11Protocol], reason: str) -> None:
        for connection in connections:
            del self._seen[connection]
        _abort(connections, reason)


def _abort(connections: Collection[H11Protocol], reason: str) -> None:
    for connection in connections:
        if connection.transport.get_write_buffer_size():
            _forget_unsent(connection.transport)
        connection.transport.abort()
    if connections:
        fields = {"reason": reason, "connections": len(connections)}
        log.info("dropped", extra={"fields": fields})


def _forget_unsent(transport: asyncio.Transport) -> None:
    """Have the system reset the connection, not keep megabytes for as long as the client likes."""
    found = transport.get_extra_info("socket")
    if found is not None:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _look(connection: H11Protocol, seen: _Seen | None, now: float) -> _Seen:
    cycle = connection.cycle
    is_answered = cycle is None or cycle.response_complete
    unsent_bytes = connection.transport.get_write_buffer_size()
    if seen is None or (seen.cycle, seen.is_answered) != (cycle, is_answered):
        return _Seen(cycle, is_answered, now, unsent_bytes, now)
    if seen.unsent_bytes != unsent_bytes:
        seen.unsent_bytes, seen.moved = unsent_bytes, now
    return seen


def _is_waiting(seen: _Seen) -> bool:
    return seen.is_answered and not seen.unsent_bytes
