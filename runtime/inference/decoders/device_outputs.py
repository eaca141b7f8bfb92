"""Outputs of the runs of a decoder in GPU memory, of which few bytes are copied back.

Knows nothing of inputs and caches.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.contract import LOGITS
from bark_onnx.graphs.onnxruntime import import_onnxruntime
from bark_onnx.runtime.inference.decoders.sessions import CausalSessions
from bark_onnx.runtime.inference.draws import StepScores, top_logits

_ITEM_BYTES = 4  # of float32 and int32, which all outputs are

Rows = NDArray[np.int64] | slice
_ALL = slice(None)


class DeviceOutputs:
    """Logits and top logits of a number of sequences.

    The top logits and what belongs to them lie side by side: one copy brings them to the CPU, a
    few hundred bytes a sequence. The logits are copied if they are asked for.

    Args:
        sessions: Sessions of a fused graph.
        count: Sequences of a run.
        device: Device of the memory.
    """

    def __init__(self, sessions: CausalSessions, count: int, device: str) -> None:
        self._device = device
        self._top_tensors = [
            (tensor.name, tensor.numpy_dtype, (count, *map(int, tensor.shape[1:])))
            for tensor in sessions.top_tensors
        ]
        self._logits = self._zeros((count, sessions.shape.num_logits))
        size = sum(int(np.prod(shape)) for _, _, shape in self._top_tensors)
        self._top = self._zeros((size,)) if size else None

    def bind(self, binding: Any) -> None:
        """Bind all outputs but the cache."""
        binding.bind_ortvalue_output(LOGITS, self._logits)
        if self._top is None:
            return
        address = self._top.data_ptr()
        for name, dtype, shape in self._top_tensors:
            binding.bind_output(name, self._device, 0, dtype.type, shape, address)
            address += _ITEM_BYTES * int(np.prod(shape))

    def logits(self, rows: Rows = _ALL) -> NDArray[np.float32]:
        """Logits of some rows of the last run."""
        logits: NDArray[np.float32] = self._logits.numpy()[rows]
        return logits

    def scores(self, rows: Rows = _ALL) -> StepScores:
        """What the last run has returned in some rows; the logits are not yet copied."""
        arrays = []
        if self._top is not None:
            words, begin = self._top.numpy(), 0
            for _, dtype, shape in self._top_tensors:
                end = begin + int(np.prod(shape))
                arrays.append(words[begin:end].view(dtype).reshape(shape)[rows])
                begin = end
        return StepScores(lambda: self.logits(rows), top_logits(arrays))

    def _zeros(self, shape: tuple[int, ...]) -> Any:
        value = np.zeros(shape, np.float32)
        return import_onnxruntime().OrtValue.ortvalue_from_numpy(value, self._device, 0)
