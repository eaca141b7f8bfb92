"""Resources of a process, from /proc."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SAMPLE_SECONDS = 0.5


@dataclass(frozen=True)
class Held:
    """Resources of a process at one moment."""

    megabytes: float  # resident
    files: int  # open, sockets included
    threads: int

    def __str__(self) -> str:
        return f"{self.megabytes:.1f} MB, {self.files} files, {self.threads} threads"


def held(pid: int) -> Held:
    """Current resources of a process."""
    status = Path(f"/proc/{pid}/status").read_text()

    def number(name: str) -> int:
        match = re.search(rf"^{name}:\s*(\d+)", status, re.MULTILINE)
        assert match is not None
        return int(match.group(1))

    files = len([*Path(f"/proc/{pid}/fd").iterdir()])
    return Held(number("VmRSS") / 1024, files, number("Threads"))


@dataclass
class Peak:
    """The most memory seen."""

    megabytes: float = 0.0


@contextmanager
def sampled_peak(pid: int) -> Iterator[Peak]:
    """Sample the memory of a process during a `with` block."""
    peak, is_over = Peak(), threading.Event()

    def sample() -> None:
        while True:
            peak.megabytes = max(peak.megabytes, held(pid).megabytes)
            if is_over.wait(_SAMPLE_SECONDS):
                return

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peak
    finally:
        is_over.set()
        thread.join()
