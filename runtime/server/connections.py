"""Drops connections of clients that are too slow, for which uvicorn has no limits.

Its keep-alive timeout only holds between two requests: the first byte of a head ends it, and a
response that is not read stays in memory. Rests on internals of uvicorn's h11 protocol.
"""

import asyncio
import socket
import struct
from collections.abc import Collection
from dataclasses import dataclass

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from bark_onnx.runtime.server.logs import log


@dataclass
class _ConnectionState:
    """A connection as of its last change."""

    cycle: RequestResponseCycle | None  # its newest request
    is_answered: bool  # completely: the client is next
    since: float  # seconds of the sweeps' clock when the two above changed
    unsent_bytes: int  # of the response, for which the client has made no room
    last_progress: float  # when that number changed


class IdleConnectionReaper:
    """Drops slow and surplus connections, one sweep at a time.

    Args:
        client_seconds: Maximum time for a client to send a request, or to continue reading.
        request_seconds: Maximum time to read a response, however steadily it is read.
        limit: Maximum number of connections; beyond it, those idle for longest are dropped.
    """

    def __init__(self, *, client_seconds: float, request_seconds: float, limit: int) -> None:
        self._client_seconds = client_seconds
        self._request_seconds = request_seconds
        self._limit = limit
        self._states: dict[H11Protocol, _ConnectionState] = {}

    def sweep(self, connections: Collection[H11Protocol], now: float) -> None:
        """Drop the connections that exceed a limit.

        Args:
            connections: All open connections.
            now: Seconds of a monotonic clock.
        """
        self._states = {each: _update(each, self._states.get(each), now) for each in connections}
        late = [each for each, state in self._states.items() if self._is_late(state, now)]
        self._drop(late, "too slow")
        idle = [each for each, state in self._states.items() if _is_idle(state)]
        idle.sort(key=lambda each: self._states[each].since)
        self._drop(idle[: max(len(self._states) - self._limit, 0)], "too many")

    def drop_all(self, connections: Collection[H11Protocol]) -> None:
        """Drop all connections, whatever their state."""
        self._states = {}
        _abort(connections, "shutting down")

    def _is_late(self, state: _ConnectionState, now: float) -> bool:
        if state.unsent_bytes:
            is_stalled = now - state.last_progress > self._client_seconds
            return is_stalled or now - state.since > self._request_seconds
        return state.is_answered and now - state.since > self._client_seconds

    def _drop(self, connections: Collection[H11Protocol], reason: str) -> None:
        for connection in connections:
            del self._states[connection]
        _abort(connections, reason)


def _abort(connections: Collection[H11Protocol], reason: str) -> None:
    for connection in connections:
        if connection.transport.get_write_buffer_size():
            _discard_unsent(connection.transport)
        connection.transport.abort()
    if connections:
        fields = {"reason": reason, "connections": len(connections)}
        log.info("dropped", extra={"fields": fields})


def _discard_unsent(transport: asyncio.Transport) -> None:
    """Have the system reset the connection: it would keep the unsent megabytes for minutes."""
    found = transport.get_extra_info("socket")
    if found is not None:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _update(
    connection: H11Protocol, state: _ConnectionState | None, now: float
) -> _ConnectionState:
    cycle = connection.cycle
    is_answered = cycle is None or cycle.response_complete
    unsent_bytes = connection.transport.get_write_buffer_size()
    if state is None or (state.cycle, state.is_answered) != (cycle, is_answered):
        return _ConnectionState(cycle, is_answered, now, unsent_bytes, now)
    if state.unsent_bytes != unsent_bytes:
        state.unsent_bytes, state.last_progress = unsent_bytes, now
    return state


def _is_idle(state: _ConnectionState) -> bool:
    return state.is_answered and not state.unsent_bytes
