"""A decoder for standard graphs: a cache that every run returns longer by its tokens.

The cache stays where the graph runs; rows run one after the other.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.contract import LOGITS, past_name, present_name
from bark_onnx.graphs.onnxruntime import import_onnxruntime
from bark_onnx.graphs.voices.voice import Tokens
from bark_onnx.runtime.inference.decoders.decoder import StepInput
from bark_onnx.runtime.inference.decoders.sessions import CausalSessions
from bark_onnx.runtime.inference.sampling import Logits


class DynamicCacheDecoder:
    """One cache per row, each as long as its tokens.

    Args:
        graph: a standard one.
        slots: rows at most.
        device: whose memory holds the cache, "cpu" or "cuda".
    """

    def __init__(self, graph: CausalSessions, slots: int, device: str) -> None:
        self.slots = slots
        self.lengths = np.zeros(slots, np.int64)
        self._graph = graph
        self._device = device
        self._ort_value = import_onnxruntime().OrtValue
        self._past_names = [past_name(*name) for name in graph.cache_parts]
        self._present_names = [present_name(*name) for name in graph.cache_parts]
        shape = graph.shape
        nothing = np.zeros((1, shape.num_heads, 0, shape.head_size), graph.cache_dtype)
        empty = self._place(nothing)
        self._caches: list[list[Any]] = [[empty] * len(self._past_names)] * slots  # OrtValues

    def feed(self, slot: int, feed: StepInput) -> Logits:
        """See `Decoder`."""
        binding = self._graph.prompt.io_binding()
        # The arrays must live until the run is over.
        inputs = self._graph.token_inputs(feed)
        for name, array in inputs.items():
            binding.bind_cpu_input(name, array)
        for name, past in zip(self._past_names, self._kept(slot, feed.past_length), strict=True):
            binding.bind_ortvalue_input(name, past)
        binding.bind_output(LOGITS, "cpu")
        for name in self._present_names:
            binding.bind_output(name, self._device)
        self._graph.prompt.run_with_iobinding(binding)
        logits, *self._caches[slot] = binding.get_outputs()
        self.lengths[slot] = feed.past_length + len(feed.input_ids)
        row: Logits = logits.numpy()[0]
        return row

    def step(self, input_ids: Tokens) -> NDArray[np.float32]:
        """See `Decoder`."""
        feeds = [
            StepInput(input_ids[slot : slot + 1], int(self.lengths[slot]))
            for slot in range(len(input_ids))
        ]
        return np.stack([self.feed(slot, feed) for slot, feed in enumerate(feeds)])

    def copy_slot(self, source: int, target: int) -> None:
        """See `Decoder`."""
        self._caches[target] = self._caches[source]
        self.lengths[target] = self.lengths[source]

    def swap_slots(self, first: int, second: int) -> None:
        """See `Decoder`."""
        caches = self._caches
        caches[first], caches[second] = caches[second], caches[first]
        self.lengths[[first, second]] = self.lengths[[second, first]]

    def _kept(self, slot: int, length: int) -> list[Any]:
        """The first tokens of a slot's cache."""
        caches = self._caches[slot]
        if caches[0].shape()[2] == length:
            return caches
        return [self._place(cache.numpy()[:, :, :length]) for cache in caches]

    def _place(self, array: NDArray[Any]) -> Any:
        return self._ort_value.ortvalue_from_numpy(np.ascontiguousarray(array), self._device, 0)
