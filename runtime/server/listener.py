"""A listening socket that accepts no more connections than the process has files for."""

import errno
import socket
import sys
import time
from typing import Any

from bark_onnx.runtime.server.logs import log
from bark_onnx.runtime.server.reaper import ConnectionReaper

_MAX_ARRIVING = 32  # accepted connections that the event loop has not set up or closed yet
_RESERVED_FILES = 100  # of the bundle, its libraries, and voices that are being read
_OUT_OF_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_LOG_SECONDS = 60.0  # between two lines about missing files


class BoundedListener(socket.socket):
    """Listening socket for asyncio, whose loop accepts as many connections as arrive.

    Args:
        listener: Listening socket, which this one replaces.
        reaper: Owner of the accepted connections.
        limit: Maximum number of open connections.
    """

    def __init__(self, listener: socket.socket, reaper: ConnectionReaper, limit: int) -> None:
        super().__init__(fileno=listener.detach())
        self.setblocking(False)
        self._reaper = reaper
        self._limit = limit
        self._logged = float("-inf")
        self._pauses = False

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection.

        Raises:
            BlockingIOError: None is waiting, or it must wait: asyncio ends its loop of accepts.
            OSError: The process has no file left, and no connection to drop; asyncio waits 1 s.
        """
        reaper = self._reaper
        held = reaper.arriving + reaper.open + reaper.closing
        # More that arrive at once would drop each other before their requests are read.
        if reaper.arriving >= _MAX_ARRIVING or held >= self._limit + _MAX_ARRIVING:
            raise BlockingIOError
        if self._pauses:  # asyncio of Python 3.11 continues its loop after an error
            self._pauses = False
            raise BlockingIOError
        try:
            accepted = super().accept()
        except OSError as error:
            if error.errno in _OUT_OF_FILES:
                self._make_room(error)
            raise
        reaper.arriving += 1
        return accepted

    def _make_room(self, error: OSError) -> None:
        now = time.monotonic()
        if now - self._logged >= _LOG_SECONDS:
            self._logged = now
            log.error("out of files", extra={"fields": {"error": error.strerror}})
        if self._reaper.drop_oldest():
            raise BlockingIOError from error
        self._pauses = True


def raise_file_limit() -> None:
    """Let the process open as many files as the system allows it to."""
    if sys.platform == "win32":  # sockets are not files there
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard and hard != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def limit_by_files(max_connections: int) -> int:
    """Number of connections, at most the given one, for which the process has files."""
    if sys.platform == "win32":
        return max_connections
    import resource

    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return max_connections
    found = max(min(max_connections, files - _RESERVED_FILES - _MAX_ARRIVING), 1)
    if found < max_connections:
        fields = {"max_connections": found, "wanted": max_connections, "open_files": files}
        log.warning("fewer connections", extra={"fields": fields})
    return found
