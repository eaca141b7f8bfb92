"""A file in memory for libraries that write streams."""

import io


class AppendOnlyBuffer:
    """A binary file that holds only what is appended.

    It can seek, but what is written over earlier bytes, such as a length in a header, is dropped:
    they may have been sent.
    """

    def __init__(self) -> None:
        self._held = bytearray()
        self._taken = 0  # bytes
        self._position = 0

    def write(self, data: bytes) -> int:
        """Append data, if the position is the end; returns its size."""
        if self._position == self._taken + len(self._held):
            self._held += data
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set and return the position."""
        end = self._taken + len(self._held)
        self._position = (0, self._position, end)[whence] + offset
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def take(self) -> bytes:
        """Remove and return the bytes appended since the last call."""
        taken = bytes(self._held)
        self._held.clear()
        self._taken += len(taken)
        return taken
