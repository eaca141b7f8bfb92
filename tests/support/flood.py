"""Crowds of clients that open connections and do not continue, on the loopback address only.

Runs in its own process, which ends by itself: `python -m tests.support.flood PORT KIND COUNT`.
"""

import resource
import select
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from subprocess import PIPE, Popen

SECONDS = 120  # until a flood ends by itself
_AT_ONCE = 50

_BODY = (
    b"POST /v1/audio/speech HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    b"content-length: 1000\r\n\r\n{"
)
KINDS = {
    "silent": b"",
    "unfinished bodies": _BODY,
    "unread responses": b"GET /page/page.js HTTP/1.1\r\nhost: localhost\r\n\r\n" * 900,
}


@contextmanager
def flood(port: int, kind: str, count: int) -> Iterator[Callable[[], None]]:
    """Run a flood; the yielded function waits until all clients have connected."""
    command = [sys.executable, "-m", "tests.support.flood", str(port), kind, str(count)]
    with Popen(command, stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.stdout is not None

        def wait() -> None:
            assert process.stdout is not None
            assert process.stdout.readline() == "connected\n"

        try:
            yield wait
        finally:
            process.kill()


def _run(port: int, kind: str, count: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with ExitStack() as opened:
        for _ in range(count // _AT_ONCE):
            for _ in range(_AT_ONCE):
                _connect(opened.enter_context(socket.socket()), port, KINDS[kind])
        print("connected", flush=True)
        select.select([sys.stdin], [], [], SECONDS)  # until the test ends


def _connect(raw: socket.socket, port: int, begin: bytes) -> None:
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    with suppress(ConnectionError):  # dropped at once
        raw.connect(("127.0.0.1", port))
        raw.setblocking(False)
        with suppress(BlockingIOError):
            raw.send(begin)


if __name__ == "__main__":
    _run(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
