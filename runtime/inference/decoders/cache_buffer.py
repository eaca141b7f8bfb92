"""The memory of a static cache: as many slots and tokens as the sequences have needed so far.

Knows no sessions.
"""

import ctypes
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.contract import CACHE_PARTS
from bark_onnx.graphs.shapes import CausalShape

# Tokens by which the buffers are lengthened. The prompt of a text, which is 257 tokens, begins with
# 384; a few lengthenings per process are not noticed, and the rest of a step is not allocated.
STEP_TOKENS = 128


class CacheBuffer:
    """Cache buffers of all layers, side by side at the beginning of one array.

    The array is large enough for the full context in all slots, but the system allocates memory
    only where it is written. The buffers therefore grow without a second array, and opening a stage
    fails at once if the address space is too small for its last sequence.

    Args:
        shape: Sizes of the model.
        slots: Most slots.
        dtype: Data type of the cache.
        fixed_length: Length that the graph fixes for its buffers; None if it is free.
    """

    def __init__(
        self, shape: CausalShape, slots: int, dtype: np.dtype[Any], fixed_length: int | None
    ) -> None:
        self.slots = 0  # in use
        self.length = fixed_length or 0  # tokens of each slot
        self._shape = shape
        self._max_slots = slots
        self._names = list(product(range(shape.num_layers), CACHE_PARTS))
        self._row_size = len(self._names) * shape.num_heads * shape.head_size
        # One array is large enough for numpy to request huge pages, which a step reads 5 % faster
        # (benchmarks/LOG.md).
        self._memory = np.zeros(slots * shape.context_length * self._row_size, dtype)

    @property
    def nbytes(self) -> int:
        """Bytes in use."""
        return self.slots * self.length * self._row_size * self._memory.itemsize

    def parts(self) -> dict[tuple[int, str], NDArray[Any]]:
        """Buffer of each layer and part, (slots, heads, length, head_size); valid until `grow`."""
        heads, width = self._shape.num_heads, self._shape.head_size
        rows = self._rows(self.slots, self.length)
        shape = (len(self._names), self.slots, heads, self.length, width)
        return dict(zip(self._names, rows.reshape(shape), strict=True))

    def grow(self, slots: int, length: int, kept: NDArray[np.int64]) -> bool:
        """Make room for some slots of a length. True if the buffers have moved.

        Args:
            slots: Slots that are needed; their number doubles, since all buffers move.
            length: Tokens that are needed in each slot.
            kept: Tokens (slots,) that stay valid in each slot.
        """
        if slots <= self.slots and length <= self.length:
            return False
        if slots > self.slots:
            slots = min(max(slots, 2 * self.slots), self._max_slots)
        slots = max(slots, self.slots)
        if length > self.length:
            length = min(-(-length // STEP_TOKENS) * STEP_TOKENS, self._shape.context_length)
        length = max(length, self.length)
        self._move(slots, length, kept)
        self.slots, self.length = slots, length
        return True

    def _move(self, slots: int, length: int, kept: NDArray[np.int64]) -> None:
        """Move the kept tokens to where longer buffers of more slots have them.

        They move towards the end of the array, so the last ones come first.
        """
        heads, width = self._shape.num_heads, self._shape.head_size
        old, new = self._rows(self.slots, self.length), self._rows(slots, length)
        for part in reversed(range(len(self._names))):
            for slot, head in product(reversed(range(self.slots)), reversed(range(heads))):
                source = old[(part * self.slots + slot) * heads + head, : kept[slot] * width]
                target = new[(part * slots + slot) * heads + head]
                # They may overlap; numpy would allocate a copy.
                ctypes.memmove(target.ctypes.data, source.ctypes.data, source.nbytes)

    def _rows(self, slots: int, length: int) -> NDArray[Any]:
        """The used beginning of the array, a row for each layer, part, slot and head."""
        count = len(self._names) * slots * self._shape.num_heads
        width = length * self._shape.head_size
        return self._memory[: count * width].reshape(count, width)
