"""The listening socket, which accepts as many connections as the event loop can set up."""

import socket
from contextlib import ExitStack

import pytest

from bark_onnx.runtime.server.listener import BoundedListener
from bark_onnx.runtime.server.reaper import ConnectionReaper


def test_burst_is_accepted_in_parts_however_many_connections_are_allowed() -> None:
    reaper = ConnectionReaper(client_seconds=1, request_seconds=1, limit=500, clock=lambda: 0.0)
    with ExitStack() as stack:
        listening = socket.create_server(("127.0.0.1", 0), backlog=100)
        listener = stack.enter_context(BoundedListener(listening, reaper, 500))
        for _ in range(50):
            stack.enter_context(socket.create_connection(listener.getsockname()))
        for _ in range(32):
            stack.enter_context(listener.accept()[0])
        with pytest.raises(BlockingIOError):
            listener.accept()
        reaper.arriving -= 1  # one is set up
        stack.enter_context(listener.accept()[0])
        with pytest.raises(BlockingIOError):
            listener.accept()
