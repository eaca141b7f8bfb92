"""Resources of a process, from /proc."""

import re
from dataclasses import dataclass
from pathlib import Path


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
