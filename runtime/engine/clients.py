"""Fairness among clients: how many places each may hold, and whose turn is next.

Knows nothing of requests, and never changes what is generated, only when.
"""

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from bark_onnx.graphs.errors import QueueFullError

Item = TypeVar("Item")


@dataclass(frozen=True)
class Client:
    """A party whose requests share one part of the places, and take turns with those of others."""

    name: str  # equal for requests of the same client
    share: float = 1.0  # of all places, that it may hold while it is the only one; more than 0


PROGRAM = Client("program")  # calls of the library: all places are its own


class ClientQuota:
    """Counts the places that each client holds.

    A client may hold `share / (1 - share)` times as many places as are free. Alone it gets its
    share of all places, among several an equal part each, and some stay free for a further one:
    the dynamic thresholds of Choudhury and Hahne (1998). A client without a place may take any
    that is free.

    Args:
        places: Number of places; None: no limit.
        kind: What a place is for, in messages.
        remedy: Limits that an operator can raise, in messages.
    """

    def __init__(self, places: int | None, *, kind: str, remedy: str) -> None:
        self._places = places
        self._kind = kind
        self._remedy = remedy
        self._held: Counter[Client] = Counter()

    @property
    def held(self) -> int:
        """Number of places that are taken."""
        return self._held.total()

    def take(self, client: Client, count: int = 1) -> None:
        """Take places for a client.

        Raises:
            QueueFullError: Too few are free, or the client would hold too many.
        """
        if self._places is not None:
            self._check(client, count, self._places - self.held)
        self._held[client] += count

    def release(self, client: Client) -> None:
        """Give one place of a client back."""
        self._held[client] -= 1
        if not self._held[client]:
            del self._held[client]

    def _check(self, client: Client, count: int, free: int) -> None:
        held = self._held[client]
        if count > free:
            raise QueueFullError(
                f"{self.held} {self._kind} are unfinished and {count} more were submitted, "
                f"expected at most {self._places} ({self._remedy}); try again later"
            )
        # (held + count) / (free - count) > share / (1 - share), without a division by 0
        if held and (held + count) * (1 - client.share) > (free - count) * client.share:
            raise QueueFullError(
                f"{held} {self._kind} of this client are unfinished, and {free} further places "
                f"must stay free for others; expected at most {client.share:.0%} of "
                f"{self._places} for one client; try again later"
            )


class ClientQueue(Generic[Item]):
    """Waiting items, in order for each client.

    The next one is of the client with the fewest running items; among these, of the one whose last
    turn was longest ago.
    """

    def __init__(self) -> None:
        self._items: dict[Client, deque[Item]] = {}  # by turn; no client without items

    def __len__(self) -> int:
        return sum(map(len, self._items.values()))

    def __iter__(self) -> Iterator[Item]:
        return (item for items in self._items.values() for item in items)

    def append(self, client: Client, item: Item) -> None:
        """Add an item behind those of its client."""
        self._items.setdefault(client, deque()).append(item)

    def pop(self, running: Mapping[Client, int]) -> Item:
        """Remove and return the next item.

        Args:
            running: Number of running items by client.
        """
        client = min(self._items, key=lambda each: running.get(each, 0))  # the first of the least
        items = self._items.pop(client)
        item = items.popleft()
        if items:
            self._items[client] = items  # behind the others
        return item

    def remove(self, client: Client, item: Item) -> None:
        """Remove an item of a client, wherever it waits."""
        self._items[client].remove(item)
        if not self._items[client]:
            del self._items[client]

    def clear(self) -> None:
        """Remove all items."""
        self._items.clear()
