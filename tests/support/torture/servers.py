"""Raw requests to a server process, their responses, and what its log says meanwhile."""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.server_process import ServerProcess, server_process
from tests.support.torture.materials import Materials
from tests.support.torture.outcomes import Outcome, Verdict
from tests.support.torture.subject import Case, Subject

SCRIPTED = (sys.executable, "-m", "tests.support.torture.scripted_server")
LIMIT_SECONDS = 300.0  # many times what any response takes, and any connection may stay open
_STACKS_SECONDS = 1.0
_LISTENS = "0A"  # state of a socket in /proc/net/tcp
_SHOWN_LINES = 40

# What the server documents as its own honest answers. Each has a reason in its code or message,
# and all but the last say when to try again.
HONEST = {
    (503, "not_ready"): "the bundle is loading",
    (503, "shutting_down"): "after a signal",
    (503, "failing"): "/ready, while every request fails",
    (503, None): "bodies of all clients are incomplete and hold too much memory",
    (504, "timeout"): "a request took longer than --request-seconds",
}


@dataclass(frozen=True)
class Response:
    """A response; status 0: the connection ended without one."""

    status: int
    headers: dict[str, str]
    body: bytes

    def __str__(self) -> str:
        return f"{self.status} {self.headers}\n{self.body[:2000]!r}"


@dataclass
class Served:
    """A server process.

    Attributes:
        process: The process.
        seconds: Time until something that has not ended hangs.
    """

    process: ServerProcess
    seconds: float
    _seen: int = 0  # lines of the log

    def connect(self, *, receive_bytes: int | None = None) -> socket.socket:
        address = urlsplit(self.process.url)
        raw = socket.socket()
        if receive_bytes is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        raw.settimeout(self.seconds)
        raw.connect((address.hostname, address.port))
        return raw

    def ask(self, content: bytes, *, method: str | None = None) -> Response:
        """Send a request and read the response.

        Raises:
            TimeoutError: The server neither responds nor ends the connection.
        """
        with self.connect() as raw:
            with suppress(BrokenPipeError, ConnectionResetError):  # refused before its end
                raw.sendall(content)
            return read_response(raw, method)

    def connections(self) -> int:
        """Number of connections that the server holds."""
        port = f":{urlsplit(self.process.url).port or 0:04X}"
        held = set()
        with suppress(OSError):  # a file that is closed meanwhile
            for path in Path(f"/proc/{self.process.process.pid}/fd").iterdir():
                with suppress(OSError):
                    held.add(str(path.readlink()))
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        ours = [row for row in rows if row[1].endswith(port) and row[3] != _LISTENS]
        return sum(f"socket:[{row[9]}]" in held for row in ours)

    def failures(self) -> list[str]:
        """Lines of the log since the last call that are errors or have a traceback."""
        lines, self._seen = self.process.log[self._seen :], len(self.process.log)
        return [
            json.dumps(line)
            for line in lines
            if line.get("level") in ("error", "critical") or "traceback" in line
        ]

    def verdict_of(self, verdict: Verdict) -> Verdict:
        """The verdict, unless the server's log or its end makes it worse."""
        failures = self.failures()
        if self.process.process.poll() is not None:
            failures.append(f"the server ended with status {self.process.process.returncode}")
        if failures and not verdict.outcome.is_defect:
            return Verdict(Outcome.TRACEBACK, "\n".join([*failures, verdict.detail]))
        return Verdict(verdict.outcome, "\n".join([verdict.detail, *failures]).strip())

    def hang(self, what: str) -> Verdict:
        """The verdict on something that does not end, with the stacks of the server."""
        before = len(self.process.log)
        if self.process.process.poll() is None:
            os.kill(self.process.process.pid, signal.SIGUSR2)
            time.sleep(_STACKS_SECONDS)
        stacks = [str(each.get("line", each)) for each in self.process.log[before:]]
        self._seen = len(self.process.log)
        return Verdict(Outcome.HANG, "\n".join([what, *stacks[:_SHOWN_LINES]]))


@contextmanager
def served(folder: Path, program: tuple[str, ...], seconds: float) -> Iterator[Served]:
    """Run a server whose uploads are in `folder`, until the end of a `with` block."""
    with server_process("--uploads", folder / "uploads", program=program) as process:
        found = Served(process, seconds)
        yield found
        failures = found.failures()
        assert not failures, failures


class ServerSubject(Subject[Case]):
    """A subject whose cases meet one server process, one case at a time.

    Args:
        materials: The voice that is uploaded.
        program: The command that serves.
        seconds: Time until a response or the end of a connection that has not come is a hang.
    """

    workers = 1  # so that lines of the log and connections belong to a case

    def __init__(
        self,
        materials: Materials,
        *,
        program: tuple[str, ...] = SCRIPTED,
        seconds: float = LIMIT_SECONDS,
    ) -> None:
        self._materials, self._program, self._seconds = materials, program, seconds
        self._served: Served | None = None

    @contextmanager
    def ready(self, folder: Path) -> Iterator[None]:
        with served(folder, self._program, self._seconds) as self._served:
            yield


def read_response(raw: socket.socket, method: str | None = None) -> Response:
    """Read a response; status 0 if the connection ends before its head is complete.

    Raises:
        TimeoutError: Neither a response nor the end of the connection comes.
    """
    response = HTTPResponse(raw, method=method)
    try:
        response.begin()
        body = response.read()
    except TimeoutError:
        raise
    except (OSError, HTTPException):
        return Response(0, {}, b"")
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Response(response.status, headers, body)


def judge_response(response: Response, method: str | None = None) -> Verdict:
    """Judge a response by its status and its form; that of HEAD has no body."""
    detail = str(response)
    if response.status == 0:
        return Verdict(Outcome.CLEAR_LINE, "the connection ended")
    if response.status >= 500:
        error = _error(response)
        is_honest = error is not None and (response.status, error.get("code")) in HONEST
        return Verdict(Outcome.CLEAR_LINE if is_honest else Outcome.SERVER_ERROR, detail)
    if response.status < 400:
        return Verdict(Outcome.ACCEPTED, detail)
    has_no_error = response.headers.get("content-type", "").startswith("text/plain")  # the parser's
    has_no_error = has_no_error or method == "HEAD"
    error = _error(response)
    message = str(error["message"]) if error else ""
    if has_no_error or (message.isprintable() and 0 < len(message) < 1500):
        return Verdict(Outcome.CLEAR_LINE, detail)
    return Verdict(Outcome.TRACEBACK, f"not one clear line\n{detail}")


def _error(response: Response) -> dict[str, object] | None:
    """The error of a response in OpenAI's form."""
    with suppress(ValueError, KeyError, TypeError):
        error = json.loads(response.body)["error"]
        return dict(error) if set(error) == {"message", "type", "param", "code"} else None
    return None
