"""Listening on a Unix socket: for a proxy on the same machine, without a TCP port."""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bark_onnx.graphs.errors import ServerError

_MODE = 0o660  # for the user and the group of the server
_OTHERS = 0o117  # umask of that mode


@contextmanager
def open_unix_socket(path: Path, *, backlog: int) -> Iterator[socket.socket]:
    """Listen on a socket file, which its user and group may use, and remove it at the end.

    A socket file on which no process listens any longer is replaced.

    Args:
        path: Path of the socket file.
        backlog: Number of connections that may wait to be accepted.

    Raises:
        ServerError: Another process listens on it, the path is that of another file, or the system
            has no Unix sockets.
    """
    family = getattr(socket, "AF_UNIX", None)
    if family is None:
        raise ServerError(f"{path}: this system has no Unix sockets; use --host and --port")
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        try:
            _remove_unused(path, family)
            mask = os.umask(_OTHERS)
            try:
                listener.bind(os.fspath(path))
            finally:
                os.umask(mask)
            path.chmod(_MODE)
            listener.listen(backlog)
            created = path.stat().st_ino
        except OSError as error:
            raise ServerError(
                f"{path}: cannot listen on this path ({error.strerror or error}); choose another "
                "--unix-socket"
            ) from error
        try:
            yield listener
        finally:
            with suppress(FileNotFoundError):  # another process may have replaced it
                if path.stat().st_ino == created:
                    path.unlink()


def _remove_unused(path: Path, family: int) -> None:
    """Remove a socket file on which no process listens."""
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise ServerError(
            f"{path}: is another file, expected a socket or nothing; choose another --unix-socket"
        )
    with socket.socket(family, socket.SOCK_STREAM) as other:
        try:
            other.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
        else:
            raise ServerError(
                f"{path}: another process listens on it; stop it, or choose another --unix-socket"
            )
