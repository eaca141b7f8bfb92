"""Decoder with a dynamic cache, for standard graphs: every run returns the cache, longer.

The cache stays in the memory of the device that runs the graph; sequences run one at a time.
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
    """A decoder whose slots hold caches of exactly the length of their sequences.

    Args:
        sessions: Sessions of a standard graph.
        slots: Most sequences at a time.
        device: Device that holds the cache, "cpu" or "cuda".
    """

    def __init__(self, sessions: CausalSessions, slots: int, device: str) -> None:
        self.slots = slots
        self.lengths = np.zeros(slots, np.int64)
        self._sessions = sessions
        self._device = device
        self._ort_value = import_onnxruntime().OrtValue
        self._past_names = [past_name(*name) for name in sessions.cache_parts]
        self._present_names = [present_name(*name) for name in sessions.cache_parts]
        shape = sessions.shape
        size = (1, shape.num_heads, 0, shape.head_size)
        empty = self._to_ort_value(np.zeros(size, sessions.cache_dtype))
        self._caches: list[list[Any]] = [[empty] * len(self._past_names)] * slots  # OrtValues

    def prepare(self) -> None:
        """See `Decoder`."""

    def prefill(self, slot: int, step: StepInput) -> Logits:
        """See `Decoder`."""
        binding = self._sessions.prefill.io_binding()
        # The arrays must live until the run is over.
        inputs = self._sessions.token_inputs(step)
        for name, array in inputs.items():
            binding.bind_cpu_input(name, array)
        cache = self._crop_cache(slot, step.past_length)
        for name, past in zip(self._past_names, cache, strict=True):
            binding.bind_ortvalue_input(name, past)
        binding.bind_output(LOGITS, "cpu")
        for name in self._present_names:
            binding.bind_output(name, self._device)
        self._sessions.prefill.run_with_iobinding(binding)
        logits, *self._caches[slot] = binding.get_outputs()
        self.lengths[slot] = step.past_length + len(step.input_ids)
        last_logits: Logits = logits.numpy()[0]
        return last_logits

    def decode(self, input_ids: Tokens) -> NDArray[np.float32]:
        """See `Decoder`."""
        steps = [
            StepInput(input_ids[slot : slot + 1], int(self.lengths[slot]))
            for slot in range(len(input_ids))
        ]
        return np.stack([self.prefill(slot, step) for slot, step in enumerate(steps)])

    def copy_slot(self, source: int, target: int) -> None:
        """See `Decoder`."""
        self._caches[target] = self._caches[source]
        self.lengths[target] = self.lengths[source]

    def swap_slots(self, first: int, second: int) -> None:
        """See `Decoder`."""
        caches = self._caches
        caches[first], caches[second] = caches[second], caches[first]
        self.lengths[[first, second]] = self.lengths[[second, first]]

    def _crop_cache(self, slot: int, length: int) -> list[Any]:
        """Cache tensors of the first `length` tokens of a slot."""
        caches = self._caches[slot]
        if caches[0].shape()[2] == length:
            return caches
        return [self._to_ort_value(cache.numpy()[:, :, :length]) for cache in caches]

    def _to_ort_value(self, array: NDArray[Any]) -> Any:
        return self._ort_value.ortvalue_from_numpy(np.ascontiguousarray(array), self._device, 0)
