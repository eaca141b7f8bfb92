"""What clients of the soak saw, and whether the server counted the same."""

from collections import Counter
from dataclasses import dataclass, field

from tests.support.soak.catalogue import VoiceQuery

OUTCOMES = ("ok", "invalid", "refused", "cancelled", "timeout", "failed")


@dataclass
class Ledger:
    """Requests to speak, by how they ended.

    Attributes:
        seen: those whose end a client saw.
        left: those whose clients went away before the end. The server may have been quicker.
        sounds: what was got, to be checked when there is time.
    """

    seen: Counter[str] = field(default_factory=Counter)
    left: int = 0
    sounds: list[tuple[VoiceQuery, bytes]] = field(default_factory=list)

    def check_sounds(self) -> None:
        for wanted, sound in self.sounds:
            wanted.check(sound)
        self.sounds.clear()

    def check_counts(self, counted: dict[str, float]) -> None:
        """Compare with the growth of the server's counters."""
        found = {name: counted.get(_counter(name), 0) for name in OUTCOMES}
        told = f"the server counted {found}, clients saw {dict(self.seen)}, {self.left} left"
        assert sum(found.values()) == self.seen.total() + self.left, told
        assert all(found[name] >= self.seen[name] for name in OUTCOMES), told
        assert found["failed"] == found["timeout"] == 0, told


def _counter(outcome: str) -> str:
    return f'bark_requests_total{{outcome="{outcome}"}}'


def growth(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """What the counters of a server have grown by."""
    return {name: value - before.get(name, 0) for name, value in after.items()}
