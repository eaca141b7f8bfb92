"""Record of what the clients received, compared with the server's counters."""

from collections import Counter
from dataclasses import dataclass, field

from tests.support.soak.catalogue import ExpectedResponse

OUTCOMES = ("ok", "invalid", "refused", "cancelled", "timeout", "failed")


@dataclass
class Ledger:
    """Speech requests by outcome.

    Attributes:
        seen: Requests whose outcome a client received.
        left: Requests whose clients disconnected; some may have been complete.
        responses: Received audio, checked after the round.
    """

    seen: Counter[str] = field(default_factory=Counter)
    left: int = 0
    responses: list[tuple[ExpectedResponse, bytes]] = field(default_factory=list)

    def check_audio(self) -> None:
        for expected, audio in self.responses:
            expected.check(audio)
        self.responses.clear()

    def check_counts(self, counted: dict[str, float]) -> None:
        """Compare with the increments of the server's counters."""
        found = {name: counted.get(_counter(name), 0) for name in OUTCOMES}
        summary = f"the server counted {found}, clients saw {dict(self.seen)}, {self.left} left"
        assert sum(found.values()) == self.seen.total() + self.left, summary
        assert all(found[name] >= self.seen[name] for name in OUTCOMES), summary
        assert found["failed"] == found["timeout"] == 0, summary


def _counter(outcome: str) -> str:
    return f'bark_requests_total{{outcome="{outcome}"}}'


def growth(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Increments of a server's counters."""
    return {name: value - before.get(name, 0) for name, value in after.items()}
