"""Counts how often workers began each table, as Ray repeats one whose worker died without limit."""

from collections import Counter


class Attempts:
    """An actor of Ray that all workers of a turn know."""

    def __init__(self) -> None:
        self._begun: Counter[int] = Counter()
        self._reason: str | None = None

    def begin(self, table: int) -> int:
        """Count an attempt at a table; returns the number of attempts.

        Args:
            table: Number of its first row.
        """
        self._begun[table] += 1
        return self._begun[table]

    def fail(self, reason: str) -> None:
        """Keep why a worker failed."""
        self._reason = reason

    def reason(self) -> str | None:
        """Why the last worker that said so failed."""
        return self._reason
