"""Decoder with a static cache on a device whose memory has no addresses, such as WebGPU's buffers.

A run binds whole buffers. Decode steps run all rows of the cache; a prompt runs in buffers of one
row, which a small graph moves on the device.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.contract import (
    HISTORY_IDS,
    INPUT_IDS,
    POSITION_IDS,
    SEQLENS_K,
    TOTAL_SEQUENCE_LENGTH,
)
from bark_onnx.graphs.voices.voice import Tokens
from bark_onnx.runtime.inference.decoders.decoder import StepInput, split_step
from bark_onnx.runtime.inference.decoders.device_rows import DeviceRows, OpenGraph
from bark_onnx.runtime.inference.decoders.sessions import CausalSessions
from bark_onnx.runtime.inference.sampling import Logits

_WARM_UP_TOKENS = 256  # as many as the text of a prompt has


class DeviceCacheDecoder:
    """A decoder whose sequences keep their row of the cache while their slots change.

    The rows are as many as the sequences have needed so far, rounded up to a power of two. The
    logits of rows that wait are discarded.

    Args:
        sessions: Sessions of a fused graph.
        slots: Most sequences at a time.
        device: ONNX Runtime's name of the device: "gpu" for WebGPU; "cpu" runs the same steps in
            CPU memory.
        open_graph: Opens the bytes of a small graph as a session on the device.
        exclusive: Makes the context in which the device is used.
        max_run_tokens: Most tokens of one sequence in a run; None for any number.
    """

    def __init__(
        self,
        sessions: CausalSessions,
        slots: int,
        device: str,
        *,
        open_graph: OpenGraph,
        exclusive: Callable[[], AbstractContextManager[object]] = nullcontext,
        max_run_tokens: int | None = None,
    ) -> None:
        self.slots = slots
        self.lengths = np.zeros(slots, np.int64)
        self._sessions = sessions
        self._context_length = sessions.shape.context_length
        self._max_run_tokens = max_run_tokens or self._context_length
        self._rows = np.arange(slots)  # row of the cache of each slot's sequence
        self._cache = DeviceRows(sessions, slots, device, open_graph, exclusive)

    def prepare(self) -> None:
        """See `Decoder`. Compiles the shaders of a prompt, of all steps and of moved rows."""
        length = min(_WARM_UP_TOKENS, self._max_run_tokens - 1)
        for exponent in range((self.slots - 1).bit_length() + 1):
            count = min(self.slots, 1 << exponent)
            self.prefill(count - 1, StepInput(np.zeros(length, np.int64), 0))
            self.prefill(count - 1, StepInput(np.zeros(1, np.int64), 1))
            self.decode(np.zeros(count, np.int64))
        self._cache.shrink()
        self.lengths[:] = 0

    def prefill(self, slot: int, step: StepInput) -> Logits:
        """See `Decoder`."""
        row = int(self._rows[slot])
        self._cache.grow(row + 1)
        if step.past_length:
            self._cache.take(row)
        for part in split_step(step, self._max_run_tokens):
            logits = self._run_prefill(part)
        self._cache.put(row)
        self.lengths[slot] = step.past_length + len(step.input_ids)
        return logits

    def decode(self, input_ids: Tokens) -> NDArray[np.float32]:
        """See `Decoder`."""
        count = len(input_ids)
        rows = self._rows[:count]
        ends = self._ends()[: self._cache.rows]
        tokens = np.zeros(self._cache.rows, np.int64)
        tokens[rows] = input_ids
        inputs = {INPUT_IDS: tokens[:, None], POSITION_IDS: ends[:, None]}
        if self._sessions.null_history_id is not None:
            inputs[HISTORY_IDS] = np.full_like(tokens, self._sessions.null_history_id)[:, None]
        logits = self._cache.run_step(self._sessions.decode, _with_lengths(inputs, ends))
        self.lengths[:count] += 1
        return logits[rows]

    def copy_slot(self, source: int, target: int) -> None:
        """See `Decoder`."""
        self.swap_slots(source, target)

    def swap_slots(self, first: int, second: int) -> None:
        """See `Decoder`. Exchanges two rows and copies nothing."""
        for by_slot in (self._rows, self.lengths):
            by_slot[[first, second]] = by_slot[[second, first]]

    def _run_prefill(self, step: StepInput) -> Logits:
        end = step.past_length + len(step.input_ids)
        inputs = _with_lengths(self._sessions.token_inputs(step), np.array([end - 1]))
        logits: Logits = self._cache.run_prompt(self._sessions.prefill, inputs)[0]
        return logits

    def _ends(self) -> NDArray[np.int64]:
        """Position behind the tokens of each sequence, by row.

        A step also writes to the sequences that wait: there it must not reach what they keep.
        """
        ends = np.empty(self.slots, np.int64)
        ends[self._rows] = np.minimum(self.lengths, self._context_length - 1)
        return ends


def _with_lengths(
    inputs: dict[str, NDArray[np.int64]], last: NDArray[np.int64]
) -> dict[str, NDArray[np.integer]]:
    """Inputs of a run whose sequences end at these positions."""
    total = np.array(last.max() + 1, np.int32)
    return {**inputs, SEQLENS_K: last.astype(np.int32), TOTAL_SEQUENCE_LENGTH: total}
