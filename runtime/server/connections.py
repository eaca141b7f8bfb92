"""One connection of a client, as uvicorn's h11 protocol knows it.

Rests on internals of that protocol: its cycle (the newest request), its transport, its parser.
"""

import asyncio
import enum
import socket
import struct
from typing import TYPE_CHECKING, Any

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

if TYPE_CHECKING:
    from bark_onnx.runtime.server.reaper import ConnectionReaper

_CONNECTION = "bark_onnx.connection"  # key of the `Connection` in a request's scope


class Phase(enum.Enum):
    """What a connection waits for."""

    REQUEST = enum.auto()  # a head or body that is not complete; or none has come so far
    READING = enum.auto()  # a response that the client has not read
    PIPELINE = enum.auto()  # this server, with further requests that came before its response
    NEXT_REQUEST = enum.auto()  # nothing: the last response was read
    RESPONSE = enum.auto()  # this server


class Connection(H11Protocol):
    """A connection that the reaper knows, and that a response can end early.

    Args:
        reaper: Owner of the connection limit.
        arguments: Arguments of uvicorn's protocol.

    Attributes:
        is_dropped: Whether the reaper dropped the connection.
    """

    def __init__(self, *, reaper: "ConnectionReaper", **arguments: Any) -> None:
        super().__init__(**arguments)
        self.is_dropped = False
        self._reaper = reaper
        self._application = self.app

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start to count the connection."""
        super().connection_made(transport)
        self.app = self._call
        self._reaper.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop to count the connection."""
        super().connection_lost(exc)
        self.app = self._application  # without a cycle of references
        self._reaper.discard(self)

    def data_received(self, data: bytes) -> None:
        """Pass on what the client sent, unless the connection has just been dropped."""
        if not self.is_dropped:
            super().data_received(data)

    @property
    def is_answered(self) -> bool:
        """Whether the newest request, if any, has its complete response."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def phase(self) -> Phase:
        """What the connection waits for."""
        cycle: RequestResponseCycle | None = self.cycle
        if self.transport.get_write_buffer_size():
            return Phase.READING
        if cycle is None or cycle.more_body:
            return Phase.REQUEST
        has_begun_another = bool(self.conn.trailing_data[0])
        if self.is_answered:
            return Phase.REQUEST if has_begun_another else Phase.NEXT_REQUEST
        return Phase.PIPELINE if has_begun_another else Phase.RESPONSE

    def drop(self) -> None:
        """End the connection at once."""
        self.is_dropped = True
        if self.transport.get_write_buffer_size():
            _discard_unsent(self.transport)
        self.transport.abort()

    def end_early(self) -> None:
        """Close the connection after what was sent of an incomplete response."""
        self.transport.close()
        if self.cycle is not None:
            self.cycle.disconnected = True  # or uvicorn logs the incomplete response as an error

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[_CONNECTION] = self
        try:
            await self._application(scope, receive, send)
        finally:
            del scope[_CONNECTION]


def connection_of(scope: Scope) -> Connection | None:
    """Connection of a request; None outside of this server."""
    return scope.get(_CONNECTION)


def cut_off(scope: Scope) -> None:
    """End the response of a request before it is complete."""
    connection = connection_of(scope)
    if connection is not None:
        connection.end_early()


def _discard_unsent(transport: asyncio.Transport) -> None:
    """Have the system reset the connection: it would keep the unsent megabytes for minutes."""
    found = transport.get_extra_info("socket")
    if found is not None:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
