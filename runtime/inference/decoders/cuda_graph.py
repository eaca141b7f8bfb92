"""A decoder over one cache that the graph writes in place, in a GPU's memory.

Everything a step reads lies at an address that stays, so that ONNX Runtime can record a step as a
CUDA graph once and replay it. Only token ids go to the device, and only logits come back.
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

_GRAPH_ID = "gpu_graph_id"  # run option: which recorded CUDA graph to replay
_NOT_RECORDED = "-1"


class CudaGraphDecoder:
    """A cache of `slots` places on a device; a row keeps its place for as long as it runs.

    A step runs the places up to the last that is taken, rounded up to a power of two: few shapes,
    each recorded once. Places without a row compute something that nobody reads.

    Args:
        graph: a fused one.
        slots: rows at most.
        device: "cuda"; "cpu" does the same in the process's own memory.
    """

    def __init__(self, graph: CausalSessions, slots: int, device: str) -> None:
        shape = graph.shape
        self.slots = slots
        self.lengths = np.zeros(slots, np.int64)
        self._graph = graph
        self._device = device
        onnxruntime = import_onnxruntime()
        self._ort_value = onnxruntime.OrtValue
        self._run_options = onnxruntime.RunOptions
        self._places = np.arange(slots)  # of each slot's row
        size = (slots, shape.num_heads, shape.context_length, shape.head_size)
        self._caches = {
            name: self._put(np.zeros(size, graph.cache_dtype)) for name in graph.cache_parts
        }
        # In the process's own memory, where the operator wants it. A step's is the longest there
        # can be, because a recorded graph keeps it.
        self._longest = np.array(shape.context_length, np.int32)
        self._steps: dict[int, _Step] = {}  # by batch
        self._not_recorded = self._recording(_NOT_RECORDED)

    def feed(self, slot: int, feed: StepInput) -> Logits:
        """See `Decoder`."""
        end = feed.past_length + len(feed.input_ids)
        place = int(self._places[slot])
        inputs = {
            name: self._put(array)
            for name, array in {
                **self._graph.token_inputs(feed),
                SEQLENS_K: np.array([end - 1], np.int32),
            }.items()
        }
        total = np.array(end, np.int32)  # like `inputs`, it must live until the run is over
        binding = self._graph.prompt.io_binding()
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        binding.bind_cpu_input(TOTAL_SEQUENCE_LENGTH, total)
        binding.bind_output(LOGITS, "cpu")
        self._bind_cache(binding, place, 1)
        self._graph.prompt.run_with_iobinding(binding, self._not_recorded)
        self.lengths[slot] = end
        row: Logits = binding.get_outputs()[0].numpy()[0]
        return row

    def step(self, input_ids: Tokens) -> NDArray[np.float32]:
        """See `Decoder`."""
        rows = len(input_ids)
        places = self._places[:rows]
        batch = min(self.slots, 1 << int(places.max()).bit_length())
        if batch not in self._steps:
            self._steps[batch] = self._new_step(batch)
        step = self._steps[batch]
        tokens = np.zeros((batch, 1), np.int64)
        positions = np.zeros((batch, 1), np.int64)
        tokens[places, 0] = input_ids
        positions[places, 0] = self.lengths[:rows]
        step.inputs[INPUT_IDS].update_inplace(tokens)
        step.inputs[POSITION_IDS].update_inplace(positions)
        step.inputs[SEQLENS_K].update_inplace(positions[:, 0].astype(np.int32))
        self._graph.step.run_with_iobinding(step.binding, step.run_options)
        self.lengths[:rows] += 1
        logits: NDArray[np.float32] = step.logits.numpy()[places]
        return logits

    def copy_slot(self, source: int, target: int) -> None:
        """See `Decoder`."""
        self.swap_slots(source, target)

    def swap_slots(self, first: int, second: int) -> None:
        """See `Decoder`. Nothing is copied: the two rows' places are exchanged."""
        for kept in (self._places, self.lengths):
            kept[[first, second]] = kept[[second, first]]

    def _new_step(self, batch: int) -> "_Step":
        inputs = {
            INPUT_IDS: self._put(np.zeros((batch, 1), np.int64)),
            POSITION_IDS: self._put(np.zeros((batch, 1), np.int64)),
            SEQLENS_K: self._put(np.zeros(batch, np.int32)),
        }
        if self._graph.null_history_id is not None:
            inputs[HISTORY_IDS] = self._put(np.full((batch, 1), self._graph.null_history_id))
        logits = self._put(np.zeros((batch, self._graph.shape.num_logits), np.float32))
        binding = self._graph.step.io_binding()
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        binding.bind_cpu_input(TOTAL_SEQUENCE_LENGTH, self._longest)
        self._bind_cache(binding, 0, batch)
        binding.bind_ortvalue_output(LOGITS, logits)
        return _Step(inputs, logits, binding, self._recording(str(batch)))

    def _bind_cache(self, binding: Any, first: int, places: int) -> None:
        for (layer, part), cache in self._caches.items():
            slots, *row = cache.shape()
            dtype = self._graph.cache_dtype
            address = cache.data_ptr() + first * cache.tensor_size_in_bytes() // slots
            size = (places, *row)
            for bind, name in (
                (binding.bind_input, past_name(layer, part)),
                (binding.bind_output, present_name(layer, part)),
            ):
                bind(name, self._device, 0, dtype.type, size, address)

    def _put(self, array: NDArray[Any]) -> Any:
        return self._ort_value.ortvalue_from_numpy(np.ascontiguousarray(array), self._device, 0)

    def _recording(self, graph_id: str) -> Any:
        options = self._run_options()
        options.add_run_config_entry(_GRAPH_ID, graph_id)
        return options


@dataclass(frozen=True)
class _Step:
    """What a step of one batch reads and writes."""

    inputs: dict[str, Any]  # OrtValues on the device
    logits: Any
    binding: Any
    run_options: Any
