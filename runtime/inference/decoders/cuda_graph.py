"""Decoder with a static cache in GPU memory, whose decode steps replay CUDA graphs.

A step reads and writes fixed addresses only, so that ONNX Runtime can capture it as a CUDA graph
once and replay it. Its buffers therefore have the length of the full context from the beginning.
Only token ids are copied to the device, and only logits back.
"""

from dataclasses import dataclass
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
from bark_onnx.graphs.onnxruntime import import_onnxruntime
from bark_onnx.graphs.voices.voice import Tokens
from bark_onnx.runtime.inference.decoders.decoder import StepInput
from bark_onnx.runtime.inference.decoders.sessions import CausalSessions
from bark_onnx.runtime.inference.sampling import Logits

_GRAPH_ID = "gpu_graph_id"  # run option: id of the CUDA graph to capture or replay
_NO_GRAPH = "-1"


class CudaGraphDecoder:
    """A decoder whose sequences keep their part of the cache while their slots change.

    A decode step runs all cache slots up to the last one in use, rounded up to a power of two: few
    shapes, each captured once. The logits of unused cache slots are discarded.

    Args:
        sessions: Sessions of a fused graph.
        slots: Most sequences at a time.
        device: "cuda"; "cpu" runs the same steps in CPU memory.
    """

    def __init__(self, sessions: CausalSessions, slots: int, device: str) -> None:
        shape = sessions.shape
        self.slots = slots
        self.lengths = np.zeros(slots, np.int64)
        self._sessions = sessions
        self._device = device
        onnxruntime = import_onnxruntime()
        self._ort_value = onnxruntime.OrtValue
        self._run_options = onnxruntime.RunOptions
        self._cache_slots = np.arange(slots)  # position in the cache of each slot's sequence
        size = (slots, shape.num_heads, shape.context_length, shape.head_size)
        self._caches = {
            name: self._to_device(np.zeros(size, sessions.cache_dtype))
            for name in sessions.cache_parts
        }
        # In CPU memory, where the operator reads it. Decode steps pass the maximum, because a
        # captured graph keeps the value.
        self._max_length = np.array(shape.context_length, np.int32)
        self._steps: dict[int, _DecodeStep] = {}  # by batch size
        self._no_graph = self._graph_run_options(_NO_GRAPH)

    def prefill(self, slot: int, step: StepInput) -> Logits:
        """See `Decoder`."""
        end = step.past_length + len(step.input_ids)
        inputs = self._sessions.token_inputs(step)
        inputs[SEQLENS_K] = np.array([end - 1], np.int32)
        values = {name: self._to_device(array) for name, array in inputs.items()}
        total = np.array(end, np.int32)  # like `values`, it must live until the run is over
        binding = self._sessions.prefill.io_binding()
        for name, value in values.items():
            binding.bind_ortvalue_input(name, value)
        binding.bind_cpu_input(TOTAL_SEQUENCE_LENGTH, total)
        binding.bind_output(LOGITS, "cpu")
        self._bind_cache(binding, int(self._cache_slots[slot]), 1)
        self._sessions.prefill.run_with_iobinding(binding, self._no_graph)
        self.lengths[slot] = end
        logits: Logits = binding.get_outputs()[0].numpy()[0]
        return logits

    def decode(self, input_ids: Tokens) -> NDArray[np.float32]:
        """See `Decoder`."""
        count = len(input_ids)
        cache_slots = self._cache_slots[:count]
        batch_size = min(self.slots, 1 << int(cache_slots.max()).bit_length())
        if batch_size not in self._steps:
            self._steps[batch_size] = self._new_step(batch_size)
        step = self._steps[batch_size]
        tokens = np.zeros((batch_size, 1), np.int64)
        positions = np.zeros((batch_size, 1), np.int64)
        tokens[cache_slots, 0] = input_ids
        positions[cache_slots, 0] = self.lengths[:count]
        step.inputs[INPUT_IDS].update_inplace(tokens)
        step.inputs[POSITION_IDS].update_inplace(positions)
        step.inputs[SEQLENS_K].update_inplace(positions[:, 0].astype(np.int32))
        self._sessions.decode.run_with_iobinding(step.binding, step.run_options)
        self.lengths[:count] += 1
        logits: NDArray[np.float32] = step.logits.numpy()[cache_slots]
        return logits

    def copy_slot(self, source: int, target: int) -> None:
        """See `Decoder`."""
        self.swap_slots(source, target)

    def swap_slots(self, first: int, second: int) -> None:
        """See `Decoder`. Exchanges two positions in the cache and copies nothing."""
        for by_slot in (self._cache_slots, self.lengths):
            by_slot[[first, second]] = by_slot[[second, first]]

    def _new_step(self, batch_size: int) -> "_DecodeStep":
        inputs = {
            INPUT_IDS: self._to_device(np.zeros((batch_size, 1), np.int64)),
            POSITION_IDS: self._to_device(np.zeros((batch_size, 1), np.int64)),
            SEQLENS_K: self._to_device(np.zeros(batch_size, np.int32)),
        }
        if self._sessions.null_history_id is not None:
            history = np.full((batch_size, 1), self._sessions.null_history_id)
            inputs[HISTORY_IDS] = self._to_device(history)
        logits = self._to_device(
            np.zeros((batch_size, self._sessions.shape.num_logits), np.float32)
        )
        binding = self._sessions.decode.io_binding()
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        binding.bind_cpu_input(TOTAL_SEQUENCE_LENGTH, self._max_length)
        self._bind_cache(binding, 0, batch_size)
        binding.bind_ortvalue_output(LOGITS, logits)
        return _DecodeStep(inputs, logits, binding, self._graph_run_options(str(batch_size)))

    def _bind_cache(self, binding: Any, first: int, count: int) -> None:
        """Bind `count` slots of the cache from `first`."""
        for (layer, part), cache in self._caches.items():
            slots, *slot_shape = cache.shape()
            dtype = self._sessions.cache_dtype
            address = cache.data_ptr() + first * cache.tensor_size_in_bytes() // slots
            size = (count, *slot_shape)
            for bind, name in (
                (binding.bind_input, past_name(layer, part)),
                (binding.bind_output, present_name(layer, part)),
            ):
                bind(name, self._device, 0, dtype.type, size, address)

    def _to_device(self, array: NDArray[Any]) -> Any:
        return self._ort_value.ortvalue_from_numpy(np.ascontiguousarray(array), self._device, 0)

    def _graph_run_options(self, graph_id: str) -> Any:
        options = self._run_options()
        options.add_run_config_entry(_GRAPH_ID, graph_id)
        return options


@dataclass(frozen=True)
class _DecodeStep:
    """Inputs, outputs and run options of the decode steps of one batch size."""

    inputs: dict[str, Any]  # OrtValues on the device
    logits: Any
    binding: Any
    run_options: Any
