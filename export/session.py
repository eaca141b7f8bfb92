"""Exported graphs in ONNX Runtime, run as any other program would: plain `run` on the CPU."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs import contract
from bark_onnx.graphs.errors import ExportError, ProviderError
from bark_onnx.graphs.onnxruntime import import_onnxruntime
from bark_onnx.graphs.shapes import CausalShape

Inputs = dict[str, NDArray[Any]]


def open_session(graph: Path) -> Any:
    """Open an ONNX Runtime session on the CPU.

    Raises:
        ExportError: onnxruntime is not installed.
    """
    try:
        onnxruntime = import_onnxruntime()
    except ProviderError as error:
        raise ExportError(
            "--verify needs onnxruntime, which is not installed; "
            "install bark-onnx[cpu] beside [export], or give --no-verify"
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


class DynamicCache:
    """Cache of a standard graph: the outputs of one run are the inputs of the next."""

    def __init__(self, shape: CausalShape, dtype: type[np.floating[Any]] = np.float32) -> None:
        self.shape = shape
        self.dtype = dtype
        self.values: list[NDArray[Any]] = []

    def reset(self, batch: int) -> None:
        """Empty the cache, for a number of sequences."""
        self._allocate(batch, 0)

    def inputs(self, length: int) -> Inputs:
        """Inputs of a run after which the cache holds `length` tokens."""
        layers = range(self.shape.num_layers)
        names = (
            contract.past_name(layer, part)
            for layer, part in itertools.product(layers, contract.CACHE_PARTS)
        )
        return dict(zip(names, self.values, strict=True))

    def update(self, present: list[NDArray[Any]]) -> None:
        """Store the cache that a run returned."""
        self.values = present

    def _allocate(self, batch: int, length: int) -> None:
        size = (batch, self.shape.num_heads, length, self.shape.head_size)
        self.values = [np.zeros(size, self.dtype)] * (2 * self.shape.num_layers)


class StaticCache(DynamicCache):
    """Cache of a fused graph: buffers of the full context, and their valid length."""

    def reset(self, batch: int) -> None:
        """Empty the cache, for a number of sequences."""
        self._allocate(batch, self.shape.context_length)

    def inputs(self, length: int) -> Inputs:
        """Inputs of a run after which the cache holds `length` tokens."""
        batch = self.values[0].shape[0]
        return {
            **super().inputs(length),
            contract.SEQLENS_K: np.full(batch, length - 1, np.int32),
            contract.TOTAL_SEQUENCE_LENGTH: np.array(length, np.int32),
        }
