"""Decoder with a static cache in GPU memory, whose decode steps replay CUDA graphs.

A step reads and writes fixed addresses only, so that ONNX Runtime can capture it as a CUDA graph
once and replay it: one copy to the device, one launch, and one copy of the top logits back. Its
buffers therefore have the length of the full context from the beginning.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.contract import (
    HISTORY_IDS,
    INPUT_IDS,
    POSITION_IDS,
    SEQLENS_K,
    TOTAL_SEQUENCE_LENGTH,
    past_name,
    present_name,
)
from bark_onnx.graphs.onnxruntime import import_onnxruntime
from bark_onnx.graphs.voices.voice import Tokens
from bark_onnx.runtime.inference.decoders.captured_step import CapturedStep, packed
from bark_onnx.runtime.inference.decoders.decoder import StepInput
from bark_onnx.runtime.inference.decoders.device_outputs import DeviceOutputs
from bark_onnx.runtime.inference.decoders.sessions import CausalSessions
from bark_onnx.runtime.inference.draws import StepScores
from bark_onnx.runtime.inference.sampling import Logits

_GRAPH_ID = "gpu_graph_id"  # run option: id of the CUDA graph to capture or replay


class CudaGraphDecoder:
    """A decoder whose sequences keep their part of the cache while their slots change.

    A decode step runs all cache slots up to the last one in use, rounded up to a power of two: few
    shapes, each captured once. The logits of other cache slots are discarded.

    Args:
        sessions: Sessions of a fused graph.
        slots: Most sequences at a time.
        device: "cuda"; "cpu" runs the same steps in CPU memory.
        capture: Makes the context in which a step runs for the first time, and is captured.
    """

    def __init__(
        self,
        sessions: CausalSessions,
        slots: int,
        device: str,
        *,
        capture: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        shape = sessions.shape
        self.slots = slots
        self.lengths = np.zeros(slots, np.int64)
        self._sessions = sessions
        self._device = device
        self._capture = capture
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
        self._steps: dict[int, CapturedStep] = {}  # by batch size
        self._prefill_outputs: dict[int, DeviceOutputs] = {}  # by batch size
        self._no_graph = self._graph_run_options("-1")  # neither captures nor replays

    def prepare(self) -> None:
        """See `Decoder`. Captures the steps of every batch size.

        Captured steps belong to the thread: another one would capture them again.
        """
        for exponent in range((self.slots - 1).bit_length() + 1):
            self._captured_step(min(self.slots, 1 << exponent))

    def prefill(self, slot: int, step: StepInput) -> Logits:
        """See `Decoder`."""
        logits: Logits = self._run_prefill([slot], [step]).logits()[0]
        return logits

    def prefill_scores(self, slots: Sequence[int], steps: Sequence[StepInput]) -> StepScores:
        """See `ScoringDecoder`."""
        return self._run_prefill(slots, steps).scores()

    def shared_prefill(self, slots: Sequence[int]) -> list[int]:
        """See `ScoringDecoder`. Those that lie side by side in the cache, in its order."""
        places = {int(self._cache_slots[slot]): slot for slot in slots}
        first = last = int(self._cache_slots[slots[0]])
        while first - 1 in places:
            first -= 1
        while last + 1 in places:
            last += 1
        return [places[place] for place in range(first, last + 1)]

    def _run_prefill(self, slots: Sequence[int], steps: Sequence[StepInput]) -> DeviceOutputs:
        count, end = len(slots), steps[0].past_length + len(steps[0].input_ids)
        rows = [self._sessions.token_inputs(step) for step in steps]
        inputs = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
        inputs[SEQLENS_K] = np.full(count, end - 1, np.int32)
        values = {name: self._to_device(array) for name, array in inputs.items()}
        total = np.array(end, np.int32)  # like `values`, it must live until the run is over
        binding = self._sessions.prefill.io_binding()
        for name, value in values.items():
            binding.bind_ortvalue_input(name, value)
        binding.bind_cpu_input(TOTAL_SEQUENCE_LENGTH, total)
        if count not in self._prefill_outputs:
            self._prefill_outputs[count] = DeviceOutputs(self._sessions, count, self._device)
        outputs = self._prefill_outputs[count]
        outputs.bind(binding)
        self._bind_cache(binding, int(self._cache_slots[slots[0]]), count)
        self._sessions.prefill.run_with_iobinding(binding, self._no_graph)
        self.lengths[list(slots)] = end
        return outputs

    def decode(self, input_ids: Tokens) -> NDArray[np.float32]:
        """See `Decoder`."""
        return self._run_decode(input_ids).logits(self._cache_slots[: len(input_ids)])

    def decode_scores(self, input_ids: Tokens) -> StepScores:
        """See `ScoringDecoder`."""
        # A copy: sequences may exchange their slots before all logits are asked for.
        rows = self._cache_slots[: len(input_ids)].copy()
        return self._run_decode(input_ids).scores(rows)

    def _run_decode(self, input_ids: Tokens) -> DeviceOutputs:
        count = len(input_ids)
        cache_slots = self._cache_slots[:count]
        batch_size = min(self.slots, 1 << int(cache_slots.max()).bit_length())
        step, tokens = self._captured_step(batch_size), np.zeros(batch_size, np.int64)
        tokens[cache_slots] = input_ids
        step.tokens.update_inplace(packed(tokens, self._ends()[:batch_size]))
        self._sessions.decode.run_with_iobinding(step.binding, step.run_options)
        self.lengths[:count] += 1
        return step.outputs

    def copy_slot(self, source: int, target: int) -> None:
        """See `Decoder`."""
        self.swap_slots(source, target)

    def swap_slots(self, first: int, second: int) -> None:
        """See `Decoder`. Exchanges two positions in the cache and copies nothing."""
        for by_slot in (self._cache_slots, self.lengths):
            by_slot[[first, second]] = by_slot[[second, first]]

    def _ends(self) -> NDArray[np.int64]:
        """Position behind the tokens of each sequence, in the order of the cache.

        A step also writes to the sequences that wait: there it must not reach what they keep.
        """
        ends = np.empty(self.slots, np.int64)
        ends[self._cache_slots] = np.minimum(self.lengths, self._max_length - 1)
        return ends

    def _captured_step(self, batch_size: int) -> CapturedStep:
        if batch_size not in self._steps:
            with self._capture():
                step = self._new_step(batch_size)
                tokens = np.zeros(batch_size, np.int64)
                step.tokens.update_inplace(packed(tokens, self._ends()[:batch_size]))
                self._sessions.decode.run_with_iobinding(step.binding, step.run_options)
            self._steps[batch_size] = step
        return self._steps[batch_size]

    def _new_step(self, batch_size: int) -> CapturedStep:
        zeros = np.zeros(batch_size, np.int64)
        tokens = self._to_device(packed(zeros, zeros))
        binding = self._sessions.decode.io_binding()
        self._bind_tokens(binding, tokens.data_ptr(), batch_size)
        history = None
        if self._sessions.null_history_id is not None:
            history = self._to_device(np.full((batch_size, 1), self._sessions.null_history_id))
            binding.bind_ortvalue_input(HISTORY_IDS, history)
        binding.bind_cpu_input(TOTAL_SEQUENCE_LENGTH, self._max_length)
        self._bind_cache(binding, 0, batch_size)
        outputs = DeviceOutputs(self._sessions, batch_size, self._device)
        outputs.bind(binding)
        run_options = self._graph_run_options(str(batch_size))
        return CapturedStep(tokens, history, outputs, binding, run_options)

    def _bind_tokens(self, binding: Any, address: int, batch_size: int) -> None:
        """Bind the parts of what `packed` makes."""
        size = batch_size * np.dtype(np.int64).itemsize
        for name, dtype, shape in (
            (INPUT_IDS, np.int64, (batch_size, 1)),
            (POSITION_IDS, np.int64, (batch_size, 1)),
            (SEQLENS_K, np.int32, (batch_size,)),
        ):
            binding.bind_input(name, self._device, 0, dtype, shape, address)
            address += size

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
