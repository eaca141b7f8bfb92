"""Exported graphs in ONNX Runtime, run as any other program would: plain `run` on the CPU."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.contract import (
    CACHE_PARTS,
    HISTORY_IDS,
    INPUT_IDS,
    POSITION_IDS,
    SEQLENS_K,
    TOTAL_SEQUENCE_LENGTH,
    Attention,
    past_name,
)
from bark_onnx.graphs.errors import ExportError, ProviderError
from bark_onnx.graphs.onnxruntime import import_onnxruntime
from bark_onnx.graphs.shapes import CausalShape

Tokens = NDArray[np.int64]


def open_session(graph: Path, *, library: str | None = None) -> Any:
    """Open an ONNX Runtime session on the CPU.

    Args:
        graph: Path of the .onnx file.
        library: Path of a library with custom operators.

    Raises:
        ExportError: onnxruntime is not installed.
    """
    try:
        onnxruntime = import_onnxruntime()
    except ProviderError as error:
        raise ExportError(f"--verify: {error}, or give --no-verify") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if library is not None:
        options.register_custom_ops_library(library)
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


# Places that the buffers of a fused graph gain at a time.
_BUFFER_STEP = 256


class KeyValueCache:
    """Cache of a causal graph between its runs: buffers that are lengthened if fused."""

    def __init__(
        self,
        shape: CausalShape,
        attention: Attention,
        dtype: type[np.floating[Any]] = np.float32,
    ) -> None:
        self.length = 0  # tokens of each sequence
        self._shape = shape
        self._is_fused = attention == "fused"
        self._dtype = dtype
        self._values: list[NDArray[Any]] = []

    def reset(self, batch: int) -> None:
        """Empty the cache, for a number of sequences."""
        shape = self._shape
        empty = np.zeros((batch, shape.num_heads, 0, shape.head_size), self._dtype)
        self._values = [empty] * (2 * shape.num_layers)
        self.length = 0

    def run(self, session: Any, ids: Tokens, history: Tokens | None) -> NDArray[np.float32]:
        """Logits (batch, n) after the tokens (batch, sequence), which are added to the cache."""
        batch, count = ids.shape
        self.length += count
        if self._is_fused:
            self._lengthen()
        layers = range(self._shape.num_layers)
        names = (past_name(layer, part) for layer in layers for part in CACHE_PARTS)
        inputs: dict[str, NDArray[Any]] = {
            INPUT_IDS: ids,
            POSITION_IDS: np.tile(np.arange(self.length - count, self.length), (batch, 1)),
            **dict(zip(names, self._values, strict=True)),
        }
        if history is not None:
            inputs[HISTORY_IDS] = history
        if self._is_fused:
            inputs[SEQLENS_K] = np.full(batch, self.length - 1, np.int32)
            inputs[TOTAL_SEQUENCE_LENGTH] = np.array(self.length, np.int32)
        logits, *others = session.run(None, inputs)
        self._values = others[: len(self._values)]
        return logits

    def _lengthen(self) -> None:
        """Make the buffers as long as the next run needs, in steps."""
        length = min(-(-self.length // _BUFFER_STEP) * _BUFFER_STEP, self._shape.context_length)
        missing = length - self._values[0].shape[2]
        if missing > 0:
            margins = ((0, 0), (0, 0), (0, missing), (0, 0))
            self._values = [np.pad(value, margins) for value in self._values]
