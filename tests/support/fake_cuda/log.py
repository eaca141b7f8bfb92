"""The log of the fake runtime: what the host asked of the device."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

DEVICE, HOST = "device", "host"


class Event(NamedTuple):
    """A call, and whether some stream was captured meanwhile."""

    thread: int
    is_captured: bool
    call: str
    fields: tuple[str, ...]


@dataclass(frozen=True)
class Counts:
    """What a part of a run costs the host; captured launches run later, in replays."""

    copies_in: int
    copies_out: int
    bytes_in: int
    bytes_out: int
    launches: int  # of kernels, one by one
    replays: int  # of captured steps
    waits: int
    plans: int  # of convolutions
    mallocs: int

    @classmethod
    def of(cls, events: Iterable[Event]) -> "Counts":
        """Counts of some events."""
        found = list(events)
        into = [
            int(e.fields[2]) for e in found if e.call == "copy" and e.fields[:2] == (HOST, DEVICE)
        ]
        out = [
            int(e.fields[2]) for e in found if e.call == "copy" and e.fields[:2] == (DEVICE, HOST)
        ]

        def number(call: str) -> int:
            return sum(event.call == call and not event.is_captured for event in found)

        return cls(
            copies_in=len(into),
            copies_out=len(out),
            bytes_in=sum(into),
            bytes_out=sum(out),
            launches=number("launch"),
            replays=number("replay"),
            waits=number("wait"),
            plans=number("plan"),
            mallocs=number("malloc"),
        )


def peak_bytes(events: Iterable[Event]) -> int:
    """Most device memory in use at a time, above that before the first event."""
    used = peak = 0
    for event in events:
        if event.call in ("malloc", "free"):
            used += int(event.fields[0]) * (1 if event.call == "malloc" else -1)
            peak = max(peak, used)
    return peak


class CudaLog:
    """Reads the log while it is written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = path.stat().st_size if path.exists() else 0

    def take(self) -> list[Event]:
        """Events since the last call."""
        if not self._path.exists():
            return []
        with self._path.open() as file:
            file.seek(self._position)
            lines = file.read().splitlines()
            self._position = file.tell()
        return [_event(line) for line in lines]

    def counts(self) -> Counts:
        """Counts since the last call."""
        return Counts.of(self.take())


def _event(line: str) -> Event:
    thread, captured, call, *fields = line.split("\t")
    return Event(int(thread), captured == "captured", call, tuple(fields))
