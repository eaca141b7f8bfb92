"""Cache buffers on a device, a row for each sequence, and the graphs that move rows there.

Knows sessions and buffers, and nothing of slots.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.contract import LOGITS, past_name, present_name
from bark_onnx.graphs.onnxruntime import import_onnxruntime
from bark_onnx.runtime.inference.decoders.sessions import CausalSessions
from bark_onnx.runtime.inference.decoders.small_graph import Node, Tensor, small_graph

OpenGraph = Callable[[bytes], Any]
Buffers = dict[tuple[int, str], Any]  # OrtValue (rows, heads, context, head_size) by layer and part

_ROWS = "rows"  # input of the moving graphs: indices of rows


class DeviceRows:
    """Rows of the cache, and buffers of one row in which prompts run.

    While there is one row, both are the same buffers and nothing is moved.

    Args:
        sessions: Sessions of a fused graph.
        most: Most rows.
        device: ONNX Runtime's name of the device.
        open_graph: Opens the bytes of a small graph as a session on the device.
        exclusive: Makes the context in which the device is used.
    """

    def __init__(
        self,
        sessions: CausalSessions,
        most: int,
        device: str,
        open_graph: OpenGraph,
        exclusive: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self._sessions = sessions
        self._most = most
        self._device = device
        self._exclusive = exclusive
        self._ort_value = import_onnxruntime().OrtValue
        self._prompt = self._allocate(1)
        self._cache = self._prompt
        self._put = open_graph(_put_graph(sessions))
        self._take = open_graph(_take_graph(sessions))

    @property
    def rows(self) -> int:
        """Rows of the cache, all of which a decode step runs."""
        rows: int = next(iter(self._cache.values())).shape()[0]
        return rows

    def grow(self, rows: int) -> None:
        """Make room for some rows; their number is rounded up to a power of two."""
        if rows <= self.rows:
            return
        kept, old = np.arange(self.rows), self._cache
        self._cache = self._allocate(min(self._most, 1 << (rows - 1).bit_length()))
        self._move_in(old, kept)

    def shrink(self) -> None:
        """Return to one row, whose contents are undefined."""
        self._cache = self._prompt

    def take(self, row: int) -> None:
        """Copy a row of the cache to the buffers in which prompts run."""
        if self.rows == 1:
            return
        with self._exclusive():  # binding an input copies it to the device
            binding = self._take.io_binding()
            index = np.array([row])
            binding.bind_cpu_input(_ROWS, index)
            for (layer, part), cache in self._cache.items():
                binding.bind_ortvalue_input(past_name(layer, part), cache)
                binding.bind_ortvalue_output(present_name(layer, part), self._prompt[layer, part])
            self._take.run_with_iobinding(binding)

    def put(self, row: int) -> None:
        """Copy the buffers in which prompts run to a row of the cache."""
        if self.rows > 1:
            self._move_in(self._prompt, np.array([row]))

    def run_prompt(self, session: Any, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Run tokens of one sequence; return the logits (1, n)."""
        return self._run(session, inputs, self._prompt)

    def run_step(self, session: Any, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Run a token of every row; return the logits (rows, n)."""
        return self._run(session, inputs, self._cache)

    def _run(
        self, session: Any, inputs: Mapping[str, NDArray[Any]], buffers: Buffers
    ) -> NDArray[np.float32]:
        with self._exclusive():  # binding an input copies it to the device
            binding = session.io_binding()
            for name, array in inputs.items():
                binding.bind_cpu_input(name, array)
            binding.bind_output(LOGITS, "cpu")
            for (layer, part), buffer in buffers.items():
                binding.bind_ortvalue_input(past_name(layer, part), buffer)
                binding.bind_ortvalue_output(present_name(layer, part), buffer)
            session.run_with_iobinding(binding)
            logits: NDArray[np.float32] = binding.get_outputs()[0].numpy()
            return logits

    def _move_in(self, source: Buffers, rows: NDArray[np.int64]) -> None:
        """Write all rows of other buffers to these rows of the cache."""
        with self._exclusive():  # binding an input copies it to the device
            binding = self._put.io_binding()
            indices = rows[:, None]
            binding.bind_cpu_input(_ROWS, indices)
            for (layer, part), cache in self._cache.items():
                binding.bind_ortvalue_input(_update_name(layer, part), source[layer, part])
                binding.bind_ortvalue_input(past_name(layer, part), cache)
                binding.bind_ortvalue_output(present_name(layer, part), cache)
            self._put.run_with_iobinding(binding)

    def _allocate(self, rows: int) -> Buffers:
        shape, dtype = self._sessions.shape, self._sessions.cache_dtype
        size = (rows, shape.num_heads, shape.context_length, shape.head_size)
        with self._exclusive():
            # What an earlier tensor has left behind may not be a number. In CPU memory the array
            # becomes the buffer.
            return {
                name: self._ort_value.ortvalue_from_numpy(np.zeros(size, dtype), self._device, 0)
                for name in self._sessions.cache_parts
            }


def _put_graph(sessions: CausalSessions) -> bytes:
    """Graph that writes rows into the cache, in place where past and present are one buffer."""
    nodes, inputs, outputs = [], [Tensor(_ROWS, np.int64, 2)], []
    for name in sessions.cache_parts:
        past, update, present = past_name(*name), _update_name(*name), present_name(*name)
        nodes.append(Node("ScatterND", [past, _ROWS, update], [present]))
        inputs += [Tensor(each, sessions.cache_dtype, 4) for each in (past, update)]
        outputs.append(Tensor(present, sessions.cache_dtype, 4))
    return small_graph(nodes, inputs, outputs)


def _take_graph(sessions: CausalSessions) -> bytes:
    """Graph that reads rows of the cache."""
    nodes, inputs, outputs = [], [Tensor(_ROWS, np.int64, 1)], []
    for name in sessions.cache_parts:
        past, present = past_name(*name), present_name(*name)
        nodes.append(Node("Gather", [past, _ROWS], [present]))
        inputs.append(Tensor(past, sessions.cache_dtype, 4))
        outputs.append(Tensor(present, sessions.cache_dtype, 4))
    return small_graph(nodes, inputs, outputs)


def _update_name(layer: int, part: str) -> str:
    return f"update_{layer}_{part}"
