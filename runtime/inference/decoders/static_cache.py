"""Decoder with a static cache in CPU memory, which the graph writes in place.

Inputs and outputs are bound to fixed memory, so a decode step allocates nothing unless the cache
grows.
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
from bark_onnx.runtime.inference.decoders.cache_buffer import CacheBuffer
from bark_onnx.runtime.inference.decoders.decoder import StepInput
from bark_onnx.runtime.inference.decoders.sessions import CausalSessions
from bark_onnx.runtime.inference.draws import StepScores, top_logits
from bark_onnx.runtime.inference.sampling import Logits

# Most tokens of a run. GroupQueryAttention computes all scores of a run and discards those of later
# tokens, and the activations of a long run exceed the processor's cache (benchmarks/LOG.md). The
# prompt of a text, which is 257 tokens, still runs as a whole.
PREFILL_CHUNK_TOKENS = 300


# Sequences from which a draw from the top logits is faster than one by one from all logits, which
# cost nothing here (benchmarks/LOG.md).
_MIN_SEQUENCES_FOR_TOP = 4


class StaticCacheDecoder:
    """A decoder whose slots share one buffer, as long as the longest sequence so far needed.

    Args:
        sessions: Sessions of a fused graph.
        slots: Most sequences at a time.
    """

    def __init__(self, sessions: CausalSessions, slots: int) -> None:
        shape = sessions.shape
        self.slots = slots
        self.lengths = np.zeros(slots, np.int64)
        self._sessions = sessions
        self.cache = CacheBuffer(shape, slots, sessions.cache_dtype, sessions.fixed_buffer_length)
        self._parts = self.cache.parts()
        self._logits = np.zeros((slots, shape.num_logits), np.float32)
        self._top: dict[str, NDArray[Any]] = {
            tensor.name: np.zeros((slots, *map(int, tensor.shape[1:])), tensor.numpy_dtype)
            for tensor in sessions.top_tensors
        }
        self._inputs: dict[str, NDArray[Any]] = {
            INPUT_IDS: np.zeros((slots, 1), np.int64),
            POSITION_IDS: np.zeros((slots, 1), np.int64),
            SEQLENS_K: np.zeros(slots, np.int32),
            TOTAL_SEQUENCE_LENGTH: np.zeros((), np.int32),
        }
        if sessions.null_history_id is not None:
            self._inputs[HISTORY_IDS] = np.full((slots, 1), sessions.null_history_id)
        self._prefill_bindings: dict[int, Any] = {}  # by slot
        self._decode_bindings: dict[int, Any] = {}  # by number of sequences

    def prepare(self) -> None:
        """See `Decoder`."""

    def prefill(self, slot: int, step: StepInput) -> Logits:
        """See `Decoder`."""
        logits: Logits = self.prefill_scores(slot, step).whole()[0]
        return logits

    def prefill_scores(self, slot: int, step: StepInput) -> StepScores:
        """See `ScoringDecoder`."""
        self._grow(slot + 1, step.past_length + len(step.input_ids))
        for chunk in _chunks(step):
            self._prefill_chunk(slot, chunk)
        return self._scores(slot, 1)

    def decode(self, input_ids: Tokens) -> NDArray[np.float32]:
        """See `Decoder`."""
        return self.decode_scores(input_ids).whole()

    def decode_scores(self, input_ids: Tokens) -> StepScores:
        """See `ScoringDecoder`."""
        count = len(input_ids)
        self._grow(count, int(self.lengths[:count].max()) + 1)
        if count not in self._decode_bindings:
            self._decode_bindings[count] = self._bind_decode(count)
        lengths = self.lengths[:count]
        self._inputs[INPUT_IDS][:count, 0] = input_ids
        self._inputs[POSITION_IDS][:count, 0] = lengths
        self._inputs[SEQLENS_K][:count] = lengths
        lengths += 1
        self._inputs[TOTAL_SEQUENCE_LENGTH][...] = lengths.max()
        self._sessions.decode.run_with_iobinding(self._decode_bindings[count])
        return self._scores(0, count)

    def copy_slot(self, source: int, target: int) -> None:
        """See `Decoder`."""
        self._grow(max(source, target) + 1, 0)
        length = self.lengths[source]
        for cache in self._parts.values():
            cache[target, :, :length] = cache[source, :, :length]
        self.lengths[target] = length

    def swap_slots(self, first: int, second: int) -> None:
        """See `Decoder`."""
        self._grow(max(first, second) + 1, 0)
        length, other = (int(self.lengths[slot]) for slot in (first, second))
        for cache in self._parts.values():
            kept = cache[first, :, :length].copy()
            cache[first, :, :other] = cache[second, :, :other]
            cache[second, :, :length] = kept
        self.lengths[[first, second]] = other, length

    def _grow(self, slots: int, length: int) -> None:
        """Make room in the cache; bindings to buffers that have moved are dropped."""
        if self.cache.grow(slots, length, self.lengths):
            self._parts = self.cache.parts()
            self._prefill_bindings.clear()
            self._decode_bindings.clear()

    def _prefill_chunk(self, slot: int, chunk: StepInput) -> None:
        end = chunk.past_length + len(chunk.input_ids)
        inputs = {
            **self._sessions.token_inputs(chunk),
            SEQLENS_K: np.array([end - 1], np.int32),
            TOTAL_SEQUENCE_LENGTH: np.array(end, np.int32),
        }
        if slot not in self._prefill_bindings:
            self._prefill_bindings[slot] = self._bind_cache(self._sessions.prefill, slot, 1)
        binding = self._prefill_bindings[slot]
        # Bound by address: the arrays must live until the run is over.
        for name, array in inputs.items():
            _bind_input(binding, name, array, array.shape)
        self._sessions.prefill.run_with_iobinding(binding)
        self.lengths[slot] = end

    def _bind_decode(self, count: int) -> Any:
        binding = self._bind_cache(self._sessions.decode, 0, count)
        for name, array in self._inputs.items():
            _bind_input(binding, name, array, (count, *array.shape[1:]) if array.ndim else ())
        return binding

    def _bind_cache(self, session: Any, first: int, count: int) -> Any:
        """Bind the cache and logits of `count` slots from `first`, but no token inputs."""
        binding = session.io_binding()
        for (layer, part), cache in self._parts.items():
            view = cache[first : first + count]
            _bind_input(binding, past_name(layer, part), view, view.shape)
            _bind_output(binding, present_name(layer, part), view)
        outputs: dict[str, NDArray[Any]] = {LOGITS: self._logits, **self._top}
        for name, array in outputs.items():
            _bind_output(binding, name, array[first : first + count])
        return binding

    def _scores(self, first: int, count: int) -> StepScores:
        """What the last run has returned for `count` slots from `first`."""
        slots = slice(first, first + count)
        read = self._top.values() if count >= _MIN_SEQUENCES_FOR_TOP else ()
        return StepScores(lambda: self._logits[slots], top_logits(array[slots] for array in read))


def _chunks(step: StepInput) -> Iterator[StepInput]:
    """Split a long prefill into chunks of nearly equal length."""
    count = len(step.input_ids)
    bounds = np.linspace(0, count, -(-count // PREFILL_CHUNK_TOKENS) + 1).astype(int)
    for begin, end in pairwise(bounds.tolist()):
        history = None if step.history_ids is None else step.history_ids[begin:end]
        yield StepInput(step.input_ids[begin:end], step.past_length + begin, history)


def _bind_input(binding: Any, name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    binding.bind_input(name, "cpu", 0, array.dtype.type, shape, array.ctypes.data)


def _bind_output(binding: Any, name: str, array: NDArray[Any]) -> None:
    binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
