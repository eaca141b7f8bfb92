"""What is at the target of an output before it is written, and a reader of pipes."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.torture.damage import device
from tests.support.torture.sounds import tone
from tests.support.torture.trees import copy_linked


def _nothing(path: Path) -> None:
    pass


def _existing(path: Path) -> None:
    path.write_bytes(tone())


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "holiday.jpg").write_bytes(b"irreplaceable")


def _bundle(path: Path) -> None:
    copy_linked(path.parent.parent / "B", path)


def _link(path: Path) -> None:
    (path.parent / f"real{path.suffix}").write_bytes(tone())
    path.symlink_to(f"real{path.suffix}")


def _protected(path: Path) -> None:
    path.write_bytes(tone())
    path.chmod(0o444)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def _null(path: Path) -> None:
    device(path, minor=3)


def _full(path: Path) -> None:
    device(path, minor=7)


# What is at the target before the command.
TARGETS: dict[str, Callable[[Path], None]] = {
    "nothing": _nothing,
    "a file": _existing,
    "a folder": _folder,
    "a bundle": _bundle,
    "a link": _link,
    "a dangling link": lambda path: path.symlink_to(f"real{path.suffix}"),
    "a loop of links": lambda path: path.symlink_to(path.name),
    "a pipe that is read": os.mkfifo,
    "a pipe": os.mkfifo,
    "null": _null,
    "full": _full,
    "write-protected": _protected,
    "a socket": _socket,
    "in a closed folder": lambda path: path.parent.chmod(0o555),
    "in no folder": _nothing,
    "in a file": _nothing,
}


@contextmanager
def pipe_reader(path: Path, is_read: bool) -> Iterator[bytearray]:
    """Read a pipe during a `with` block."""
    received, is_over = bytearray(), threading.Event()
    if not is_read:
        yield received
        return
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def read() -> None:
        while not is_over.wait(0.005):
            with suppress(BlockingIOError):
                received.extend(os.read(fd, 1 << 16))

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield received
    finally:
        is_over.set()
        thread.join()
        with suppress(BlockingIOError):
            received.extend(os.read(fd, 1 << 16))
        os.close(fd)
