"""Drops connections of clients that are too slow, and those beyond the limit.

Uvicorn has no limits for them: its keep-alive timeout only holds between two requests, the first
byte of a head ends it, and a response that is not read stays in memory.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bark_onnx.runtime.server.connections import Connection, Phase
from bark_onnx.runtime.server.logs import log

# Connections in these phases are dropped before idle ones, those of the first group at first: each
# response changes the state of a pipeline, so that it never looks old.
_SURPLUS = ((Phase.PIPELINE,), (Phase.REQUEST, Phase.READING))
_SURPLUS_PHASES = tuple(phase for group in _SURPLUS for phase in group)
_MAX_PIPELINES = 32  # connections that send requests before the response to the last one
_LOG_SECONDS = 1.0  # between two lines about dropped connections


@dataclass
class _ConnectionState:
    """A connection as of its last change."""

    cycle: object  # its newest request
    is_answered: bool  # completely: the client is next
    since: float  # seconds of the reaper's clock when the two above changed
    phase: Phase
    unsent_bytes: int  # of the response, for which the client has made no room
    last_progress: float  # when that number became smaller, or was 0

    @property
    def age(self) -> float:
        """Moment since which the client has done nothing that counts."""
        return self.last_progress if self.phase is Phase.READING else self.since


class ConnectionReaper:
    """Drops slow and surplus connections.

    Of surplus ones, those with an unfinished request, an unread response or a pipeline of requests
    go first, oldest first, then idle ones; one whose response is being generated stays.

    Args:
        client_seconds: Maximum time for a client to send a request, or to continue reading.
        request_seconds: Maximum time to read a response, however steadily it is read.
        limit: Maximum number of connections.
        clock: Function that returns seconds of a monotonic clock.

    Attributes:
        arriving: Number of accepted connections that are not counted as open yet.
        closing: Number of dropped connections whose files are not closed yet.
    """

    def __init__(
        self,
        *,
        client_seconds: float,
        request_seconds: float,
        limit: int,
        clock: Callable[[], float],
    ) -> None:
        self.arriving = 0
        self.closing = 0
        self._client_seconds = client_seconds
        self._request_seconds = request_seconds
        self._limit = limit
        self._clock = clock
        self._states: dict[Connection, _ConnectionState] = {}
        self._surplus: deque[Connection] = deque()  # the next ones to drop, maybe out of date
        self._dropped: Counter[str] = Counter()  # by reason, not logged yet
        self._logged = float("-inf")

    @property
    def open(self) -> int:
        """Number of connections that are not dropped."""
        return len(self._states)

    def add(self, connection: Connection) -> None:
        """Count a new connection, for which another one is dropped at the limit."""
        self.arriving = max(self.arriving - 1, 0)
        now = self._clock()
        self._states[connection] = _ConnectionState(None, True, now, Phase.REQUEST, 0, now)
        if self.open > self._limit and not self.drop_oldest(keep=connection):
            self._drop([connection], "too many")

    def discard(self, connection: Connection) -> None:
        """Stop to count a connection, whose file is closed next."""
        if self._states.pop(connection, None) is None:
            self.closing -= 1

    def drop_oldest(self, *, keep: Connection | None = None) -> bool:
        """Drop the connection that goes first; False if all are busy."""
        victim = self._next_surplus(keep)
        if victim is None:
            self._sort_surplus()
            victim = self._next_surplus(keep) or self._oldest_idle()
        if victim is not None:
            self._drop([victim], "too many")
        return victim is not None

    def sweep(self) -> None:
        """Drop the connections that exceed a limit; called several times a second."""
        now = self._clock()
        self.arriving = 0  # in case that one failed on its way
        self._update(now)
        late = [each for each, state in self._states.items() if self._is_late(state, now)]
        self._drop(late, "too slow")
        self._drop(self._in_phases(Phase.PIPELINE)[:-_MAX_PIPELINES], "too many")
        if now - self._logged >= _LOG_SECONDS:
            self._log(now)

    def drop_all(self) -> None:
        """Drop all connections, whatever their state."""
        self._drop([*self._states], "shutting down")
        self._log(self._clock())

    def _update(self, now: float) -> None:
        for connection, state in self._states.items():
            state.phase = connection.phase()
            cycle, is_answered = connection.cycle, connection.is_answered
            if (state.cycle, state.is_answered) != (cycle, is_answered):
                state.cycle, state.is_answered, state.since = cycle, is_answered, now
                state.last_progress = now
            unsent_bytes = connection.transport.get_write_buffer_size()
            if unsent_bytes < state.unsent_bytes or not state.unsent_bytes:
                state.last_progress = now
            state.unsent_bytes = unsent_bytes

    def _next_surplus(self, keep: Connection | None) -> Connection | None:
        while self._surplus:
            found = self._surplus.popleft()
            if found is not keep and found in self._states and found.phase() in _SURPLUS_PHASES:
                return found
        return None

    def _sort_surplus(self) -> None:
        """Find the connections that are dropped before idle ones; serves many newcomers."""
        self._update(self._clock())
        self._surplus = deque(each for group in _SURPLUS for each in self._in_phases(*group))

    def _oldest_idle(self) -> Connection | None:
        return next(iter(self._in_phases(Phase.NEXT_REQUEST)), None)

    def _in_phases(self, *phases: Phase) -> list[Connection]:
        """Connections in some phases, oldest first."""
        states = self._states
        found = (each for each, state in states.items() if state.phase in phases)
        return sorted(found, key=lambda each: states[each].age)

    def _is_late(self, state: _ConnectionState, now: float) -> bool:
        if state.phase is Phase.READING:
            is_stalled = now - state.last_progress > self._client_seconds
            return is_stalled or now - state.since > self._request_seconds
        return state.is_answered and now - state.since > self._client_seconds

    def _drop(self, connections: Iterable[Connection], reason: str) -> None:
        for connection in connections:
            del self._states[connection]
            self.closing += 1
            self._dropped[reason] += 1
            connection.drop()

    def _log(self, now: float) -> None:
        self._logged = now
        for reason, count in self._dropped.items():
            log.info("dropped", extra={"fields": {"reason": reason, "connections": count}})
        self._dropped.clear()
