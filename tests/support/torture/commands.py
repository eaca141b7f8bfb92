"""Runs commands; one that does not end within its limit shows its stacks, and is killed."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.torture.processes import STACKS, STARTED, STREAMS, Command, start

LIMIT_SECONDS = 120.0  # far beyond what any case takes: longer is a hang
_MIN_CPU_SECONDS = 0.1  # of a command that waits for nothing, in a quarter of its limit
_POLL_SECONDS = 0.005
_STACKS_SECONDS = 2.0  # for a hanging command to write its stacks
_SHOWN_CHARACTERS = 4000


@dataclass(frozen=True)
class Result:
    """How a command ended.

    Attributes:
        status: Exit status; negative: a signal; None: the command did not end.
        stacks: Stacks of all threads, if the command did not end or crashed.
    """

    status: int | None
    out: bytes
    err: str
    stacks: str

    def __str__(self) -> str:
        return f"status {self.status}\n{_cut(self.err)}{_cut(self.stacks)}".rstrip()


class Running:
    """A command that runs in `folder`; its streams are files in `scratch`."""

    def __init__(self, command: Command, folder: Path, scratch: Path) -> None:
        scratch.mkdir(parents=True)
        self._scratch = scratch
        self._process = start(command, folder, scratch)

    @property
    def has_ended(self) -> bool:
        return self._process.wait(0) is not None

    @property
    def has_started(self) -> bool:
        """Whether the command's own code runs."""
        return (self._scratch / STARTED).exists()

    @property
    def cpu_seconds(self) -> float:
        """Seconds that the command has computed: a moment of it on any machine."""
        return cpu_seconds(self._process.pid)

    @property
    def err(self) -> str:
        """Standard error so far."""
        return (self._scratch / STREAMS[2]).read_text("utf-8", "backslashreplace")

    def send(self, number: int) -> bool:
        """Send a signal; False if the command has ended."""
        if self.has_ended:
            return False
        os.kill(self._process.pid, number)
        return True

    def wait_until(self, holds: Callable[[], bool], seconds: float = LIMIT_SECONDS) -> None:
        """Wait until something holds, the command has ended, or the time is over."""
        end = time.monotonic() + seconds
        while not holds() and not self.has_ended and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)

    def result(self, seconds: float = LIMIT_SECONDS) -> Result:
        """Wait for the end; a command that hangs is killed.

        One that computes on a busy machine does not hang: it has the time of its limit on the CPU.
        """
        status = self._process.wait(seconds)
        used = 0.0
        while status is None and (now := cpu_seconds(self._process.pid)) < seconds:
            if now - used < _MIN_CPU_SECONDS:  # none if it has just ended
                status = self._process.wait(0)
                break
            used = now
            status = self._process.wait(seconds / 4)
        if status is None:
            self.send(signal.SIGUSR2)
            self._process.wait(_STACKS_SECONDS)
            self.send(signal.SIGKILL)
            self._process.wait(seconds)
        out = (self._scratch / STREAMS[1]).read_bytes()
        return Result(status, out, self.err, (self._scratch / STACKS).read_text("utf-8", "replace"))


def run(command: Command, folder: Path, scratch: Path, *, seconds: float = LIMIT_SECONDS) -> Result:
    """Run a command to its end."""
    return Running(command, folder, scratch).result(seconds)


def cpu_seconds(pid: int) -> float:
    """Seconds that a process has computed; none if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")  # utime and stime


def _cut(text: str) -> str:
    if len(text) <= 2 * _SHOWN_CHARACTERS:
        return text
    return f"{text[:_SHOWN_CHARACTERS]}\n[...]\n{text[-_SHOWN_CHARACTERS:]}"
