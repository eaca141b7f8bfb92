"""Runs a causal transformer token by token, with a cache slot for each of several rows.

`InPlaceDecoder` for fused graphs: the cache is allocated once, inputs and outputs are bound to
memory that stays, so a step allocates nothing. `GrowingDecoder` for standard graphs: simple and
slower.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.contract import (
    CACHE_PARTS,
    HISTORY_IDS,
    INPUT_IDS,
    LOGITS,
    POSITION_IDS,
    SEQLENS_K,
    TOTAL_SEQUENCE_LENGTH,
    GraphContract,
    past_name,
    present_name,
)
from bark_onnx.graphs.shapes import CausalShape
from bark_onnx.graphs.voices import Tokens
from bark_onnx.runtime.rows import Decoder, Feed
from bark_onnx.runtime.sampling import Logits


def open_decoder(
    sessions: "CausalSessions", contract: GraphContract, shape: CausalShape, slots: int
) -> Decoder:
    """The decoder for a graph's form of attention.

    Args:
        sessions: onnxruntime sessions of the graphs.
        contract: of the graphs.
        shape: of the transformer.
        slots: rows at most.
    """
    kind = InPlaceDecoder if contract.attention == "fused" else GrowingDecoder
    return kind(sessions, contract, shape, slots)


@dataclass(frozen=True)
class CausalSessions:
    """The sessions of one causal stage; the same one twice where one graph does for both."""

    prompt: Any  # runs several tokens of one row
    step: Any  # runs one token of each of several rows


class InPlaceDecoder:
    """A cache buffer for `slots` rows of full context length, written in place by the graph."""

    def __init__(
        self,
        sessions: CausalSessions,
        contract: GraphContract,
        shape: CausalShape,
        slots: int,
    ) -> None:
        self.slots = slots
        self.lengths = np.zeros(slots, np.int64)
        self._sessions = sessions
        self._no_history = _no_history(contract, shape)
        size = (slots, shape.num_heads, shape.context_length, shape.head_size)
        # Memory of a slot is only taken up once it is written to.
        self._caches = {
            (layer, part): np.zeros(size, np.float32)
            for layer in range(shape.num_layers)
            for part in CACHE_PARTS
        }
        self._logits = np.zeros((slots, shape.num_logits), np.float32)
        self._inputs: dict[str, NDArray[Any]] = {
            INPUT_IDS: np.zeros((slots, 1), np.int64),
            POSITION_IDS: np.zeros((slots, 1), np.int64),
            SEQLENS_K: np.zeros(slots, np.int32),
            TOTAL_SEQUENCE_LENGTH: np.zeros((), np.int32),
        }
        if self._no_history is not None:
            self._inputs[HISTORY_IDS] = np.full((slots, 1), self._no_history)
        self._step_bindings: dict[int, Any] = {}  # by number of rows
        self._feed_bindings: dict[int, Any] = {}  # by slot

    def feed(self, slot: int, feed: Feed) -> Logits:
        """See `Decoder`."""
        end = feed.start + len(feed.ids)
        inputs = {
            **_token_inputs(feed, self._no_history),
            SEQLENS_K: np.array([end - 1], np.int32),
            TOTAL_SEQUENCE_LENGTH: np.array(end, np.int32),
        }
        if slot not in self._feed_bindings:
            self._feed_bindings[slot] = self._bind_cache(self._sessions.prompt, slot, 1)
        binding = self._feed_bindings[slot]
        # Bound by address: the arrays must live until the run is over.
        inputs = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
        for name, array in inputs.items():
            _bind_input(binding, name, array, array.shape)
        self._sessions.prompt.run_with_iobinding(binding)
        self.lengths[slot] = end
        logits: Logits = self._logits[slot]
        return logits

    def step(self, ids: Tokens) -> NDArray[np.float32]:
        """See `Decoder`."""
        rows = len(ids)
        if rows not in self._step_bindings:
            self._step_bindings[rows] = self._bind_step(rows)
        lengths = self.lengths[:rows]
        self._inputs[INPUT_IDS][:rows, 0] = ids
        self._inputs[POSITION_IDS][:rows, 0] = lengths
        self._inputs[SEQLENS_K][:rows] = lengths
        lengths += 1
        self._inputs[TOTAL_SEQUENCE_LENGTH][...] = lengths.max()
        self._sessions.step.run_with_iobinding(self._step_bindings[rows])
        return self._logits[:rows]

    def move(self, source: int, target: int) -> None:
        """See `Decoder`."""
        length = self.lengths[source]
        for cache in self._caches.values():
            cache[target, :, :length] = cache[source, :, :length]
        self.lengths[target] = length

    def swap(self, first: int, second: int) -> None:
        """See `Decoder`."""
        length, other = (int(self.lengths[slot]) for slot in (first, second))
        for cache in self._caches.values():
            kept = cache[first, :, :length].copy()
            cache[first, :, :other] = cache[second, :, :other]
            cache[second, :, :length] = kept
        self.lengths[[first, second]] = other, length

    def _bind_step(self, rows: int) -> Any:
        binding = self._bind_cache(self._sessions.step, 0, rows)
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


class GrowingDecoder:
    """A cache that every run returns longer by its tokens; rows run one after the other."""

    def __init__(
        self,
        sessions: CausalSessions,
        contract: GraphContract,
        shape: CausalShape,
        slots: int,
    ) -> None:
        self.slots = slots
        self.lengths = np.zeros(slots, np.int64)
        self._sessions = sessions
        self._no_history = _no_history(contract, shape)
        names = [(layer, part) for layer in range(shape.num_layers) for part in CACHE_PARTS]
        self._past_names = [past_name(*name) for name in names]
        empty = np.zeros((1, shape.num_heads, 0, shape.head_size), np.float32)
        self._caches: list[list[NDArray[np.float32]]] = [[empty] * len(names)] * slots

    def feed(self, slot: int, feed: Feed) -> Logits:
        """See `Decoder`."""
        past = [cache[:, :, : feed.start] for cache in self._caches[slot]]
        inputs = _token_inputs(feed, self._no_history)
        logits, *present = self._sessions.prompt.run(
            None, {**inputs, **dict(zip(self._past_names, past, strict=True))}
        )
        self._caches[slot] = present
        self.lengths[slot] = feed.start + len(feed.ids)
        row: Logits = logits[0]
        return row

    def step(self, ids: Tokens) -> NDArray[np.float32]:
        """See `Decoder`."""
        feeds = [Feed(ids[slot : slot + 1], int(self.lengths[slot])) for slot in range(len(ids))]
        return np.stack([self.feed(slot, feed) for slot, feed in enumerate(feeds)])

    def move(self, source: int, target: int) -> None:
        """See `Decoder`."""
        self._caches[target] = self._caches[source]
        self.lengths[target] = self.lengths[source]

    def swap(self, first: int, second: int) -> None:
        """See `Decoder`."""
        caches = self._caches
        caches[first], caches[second] = caches[second], caches[first]
        self.lengths[[first, second]] = self.lengths[[second, first]]


def _no_history(contract: GraphContract, shape: CausalShape) -> int | None:
    """The id that adds nothing; None where the graph takes no history."""
    has_history = any(tensor.name == HISTORY_IDS for tensor in contract.inputs)
    return shape.input_vocabulary if has_history else None


def _token_inputs(feed: Feed, no_history: int | None) -> dict[str, NDArray[Any]]:
    """What a graph of either form takes of a row's tokens, (1, n) each."""
    count = len(feed.ids)
    inputs: dict[str, NDArray[Any]] = {
        INPUT_IDS: feed.ids[None],
        POSITION_IDS: np.arange(feed.start, feed.start + count)[None],
    }
    if no_history is not None:
        history = feed.history_ids
        inputs[HISTORY_IDS] = np.full((1, count), no_history) if history is None else history[None]
    return inputs


def _bind_input(
    binding: Any,
    name: str,
    array: NDArray[Any],
    shape: tuple[int, ...],
) -> None:
    binding.bind_input(name, "cpu", 0, array.dtype.type, shape, array.ctypes.data)


def _bind_output(binding: Any, name: str, array: NDArray[Any]) -> None:
    binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
