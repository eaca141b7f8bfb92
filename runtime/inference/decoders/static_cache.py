"""A decoder over one cache that the graph writes in place, in the process's own memory.

Inputs and outputs are bound to memory that stays, so a step allocates nothing.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.contract import (
    HISTORY_IDS,
    INPUT_IDS,
    LOGITS,
    POSITION_IDS,
    SEQLENS_K,
    TOTAL_SEQUENCE_LENGTH,
    past_name,
    present_name,
)
from bark_onnx.graphs.voices.voice import Tokens
from bark_onnx.runtime.inference.decoders.decoder import StepInput
from bark_onnx.runtime.inference.decoders.sessions import CausalSessions
from bark_onnx.runtime.inference.sampling import Logits

# Tokens of a prompt that run at once. GroupQueryAttention computes all scores of a run and throws
# away those of later tokens, and a long run's activations leave the cache (benchmarks/LOG.md). A
# text, which is 257 tokens, still runs as a whole.
_LONGEST_RUN = 300


class StaticCacheDecoder:
    """A cache buffer for `slots` rows of full context length, written in place by the graph.

    Args:
        graph: a fused one.
        slots: rows at most.
    """

    def __init__(self, graph: CausalSessions, slots: int) -> None:
        shape = graph.shape
        self.slots = slots
        self.lengths = np.zeros(slots, np.int64)
        self._graph = graph
        size = (slots, shape.num_heads, shape.context_length, shape.head_size)
        # Memory of a slot is only taken up once it is written to. In one piece, it is large enough
        # for numpy to ask for huge pages, which a step reads 5 % faster (benchmarks/LOG.md).
        memory = np.zeros((len(graph.cache_parts), *size), graph.cache_dtype)
        self._caches = dict(zip(graph.cache_parts, memory, strict=True))
        self._logits = np.zeros((slots, shape.num_logits), np.float32)
        self._inputs: dict[str, NDArray[Any]] = {
            INPUT_IDS: np.zeros((slots, 1), np.int64),
            POSITION_IDS: np.zeros((slots, 1), np.int64),
            SEQLENS_K: np.zeros(slots, np.int32),
            TOTAL_SEQUENCE_LENGTH: np.zeros((), np.int32),
        }
        if graph.null_history_id is not None:
            self._inputs[HISTORY_IDS] = np.full((slots, 1), graph.null_history_id)
        self._step_bindings: dict[int, Any] = {}  # by number of rows
        self._feed_bindings: dict[int, Any] = {}  # by slot

    def feed(self, slot: int, feed: StepInput) -> Logits:
        """See `Decoder`."""
        for part in _parts(feed):
            self._feed_part(slot, part)
        logits: Logits = self._logits[slot]
        return logits

    def _feed_part(self, slot: int, feed: StepInput) -> None:
        end = feed.past_length + len(feed.input_ids)
        inputs = {
            **self._graph.token_inputs(feed),
            SEQLENS_K: np.array([end - 1], np.int32),
            TOTAL_SEQUENCE_LENGTH: np.array(end, np.int32),
        }
        if slot not in self._feed_bindings:
            self._feed_bindings[slot] = self._bind_cache(self._graph.prompt, slot, 1)
        binding = self._feed_bindings[slot]
        # Bound by address: the arrays must live until the run is over.
        for name, array in inputs.items():
            _bind_input(binding, name, array, array.shape)
        self._graph.prompt.run_with_iobinding(binding)
        self.lengths[slot] = end

    def step(self, input_ids: Tokens) -> NDArray[np.float32]:
        """See `Decoder`."""
        rows = len(input_ids)
        if rows not in self._step_bindings:
            self._step_bindings[rows] = self._bind_step(rows)
        lengths = self.lengths[:rows]
        self._inputs[INPUT_IDS][:rows, 0] = input_ids
        self._inputs[POSITION_IDS][:rows, 0] = lengths
        self._inputs[SEQLENS_K][:rows] = lengths
        lengths += 1
        self._inputs[TOTAL_SEQUENCE_LENGTH][...] = lengths.max()
        self._graph.step.run_with_iobinding(self._step_bindings[rows])
        return self._logits[:rows]

    def copy_slot(self, source: int, target: int) -> None:
        """See `Decoder`."""
        length = self.lengths[source]
        for cache in self._caches.values():
            cache[target, :, :length] = cache[source, :, :length]
        self.lengths[target] = length

    def swap_slots(self, first: int, second: int) -> None:
        """See `Decoder`."""
        length, other = (int(self.lengths[slot]) for slot in (first, second))
        for cache in self._caches.values():
            kept = cache[first, :, :length].copy()
            cache[first, :, :other] = cache[second, :, :other]
            cache[second, :, :length] = kept
        self.lengths[[first, second]] = other, length

    def _bind_step(self, rows: int) -> Any:
        binding = self._bind_cache(self._graph.step, 0, rows)
        for name, array in self._inputs.items():
            _bind_input(binding, name, array, (rows, *array.shape[1:]) if array.ndim else ())
        return binding

    def _bind_cache(self, session: Any, first: int, rows: int) -> Any:
        """A binding of everything but a run's tokens, for `rows` slots from `first`."""
        binding = session.io_binding()
        for (layer, part), cache in self._caches.items():
            view = cache[first : first + rows]
            _bind_input(binding, past_name(layer, part), view, view.shape)
            _bind_output(binding, present_name(layer, part), view)
        _bind_output(binding, LOGITS, self._logits[first : first + rows])
        return binding


def _parts(feed: StepInput) -> Iterator[StepInput]:
    """A long feed in parts of nearly the same length."""
    count = len(feed.input_ids)
    bounds = np.linspace(0, count, -(-count // _LONGEST_RUN) + 1).astype(int)
    for begin, end in pairwise(bounds.tolist()):
        history = None if feed.history_ids is None else feed.history_ids[begin:end]
        yield StepInput(feed.input_ids[begin:end], feed.past_length + begin, history)


def _bind_input(binding: Any, name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    binding.bind_input(name, "cpu", 0, array.dtype.type, shape, array.ctypes.data)


def _bind_output(binding: Any, name: str, array: NDArray[Any]) -> None:
    binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
