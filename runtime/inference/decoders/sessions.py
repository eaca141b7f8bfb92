"""Sessions of a causal transformer and their token inputs, shared by all decoders.

The decoders: `static_cache.py` (CPU) and `cuda_graph.py` (GPU) for fused graphs, and
`dynamic_cache.py` for standard ones.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.contract import (
    CACHE_PARTS,
    HISTORY_IDS,
    INPUT_IDS,
    POSITION_IDS,
    GraphContract,
)
from bark_onnx.graphs.shapes import CausalShape
from bark_onnx.graphs.tensor_contract import TensorContract
from bark_onnx.graphs.top_logits import TOP_OUTPUTS
from bark_onnx.runtime.inference.decoders.decoder import StepInput


@dataclass(frozen=True)
class CausalSessions:
    """onnxruntime sessions of one causal stage."""

    prefill: Any  # runs several tokens of one sequence
    decode: Any  # runs one token of each of several sequences; may be the same session
    contract: GraphContract
    shape: CausalShape

    @property
    def cache_parts(self) -> list[tuple[int, str]]:
        """Layer and part of every cache tensor, in the order of the contract."""
        return [(layer, part) for layer in range(self.shape.num_layers) for part in CACHE_PARTS]

    @property
    def cache_dtype(self) -> np.dtype[Any]:
        """Data type of the cache."""
        (dtype,) = {tensor.numpy_dtype for tensor in self._cache_inputs}
        return dtype

    @property
    def fixed_buffer_length(self) -> int | None:
        """Length that a fused graph fixes for its cache buffers; None if it is free."""
        (length,) = {tensor.shape[2] for tensor in self._cache_inputs}
        return length if isinstance(length, int) else None

    @property
    def null_history_id(self) -> int | None:
        """History id whose embedding is zero; None if the graph has no history input."""
        has_history = any(tensor.name == HISTORY_IDS for tensor in self.contract.inputs)
        return self.shape.input_vocabulary if has_history else None

    @property
    def top_tensors(self) -> tuple[TensorContract, ...]:
        """Top logits and what belongs to them; empty if the graph has none."""
        return tuple(tensor for tensor in self.contract.outputs if tensor.name in TOP_OUTPUTS)

    @property
    def _cache_inputs(self) -> list[TensorContract]:
        inputs = self.contract.inputs
        return [each for each in inputs if np.issubdtype(each.numpy_dtype, np.floating)]

    def token_inputs(self, step: StepInput) -> dict[str, NDArray[Any]]:
        """Token inputs of either form of graph for one sequence, contiguous int64 (1, n) each."""
        count = len(step.input_ids)
        inputs: dict[str, NDArray[Any]] = {
            INPUT_IDS: np.ascontiguousarray(step.input_ids)[None],
            POSITION_IDS: np.arange(step.past_length, step.past_length + count)[None],
        }
        null_id = self.null_history_id
        if null_id is not None:
            history = np.full(count, null_id) if step.history_ids is None else step.history_ids
            inputs[HISTORY_IDS] = np.ascontiguousarray(history)[None]
        return inputs
