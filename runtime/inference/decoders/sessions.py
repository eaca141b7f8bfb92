"""What every decoder of a causal transformer shares: its sessions, and what a run is fed.

The decoders themselves: `in_place.py` and `device.py` for fused graphs, on the CPU
and on a GPU, and `growing.py` for standard ones.
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
from bark_onnx.runtime.inference.decoders.decoder import StepInput


@dataclass(frozen=True)
class CausalSessions:
    """The graphs of one causal stage, opened."""

    prompt: Any  # onnxruntime session that runs several tokens of one row
    step: Any  # that runs one token of each of several rows; may be the same
    contract: GraphContract
    shape: CausalShape

    @property
    def cache_parts(self) -> list[tuple[int, str]]:
        """Layer and part of every cache tensor, in the contract's order."""
        return [(layer, part) for layer in range(self.shape.num_layers) for part in CACHE_PARTS]

    @property
    def cache_dtype(self) -> np.dtype[Any]:
        """What the cache is stored in."""
        (dtype,) = {
            tensor.numpy_dtype
            for tensor in self.contract.inputs
            if np.issubdtype(tensor.numpy_dtype, np.floating)
        }
        return dtype

    @property
    def null_history_id(self) -> int | None:
        """The id that adds nothing; None where the graph takes no history."""
        has_history = any(tensor.name == HISTORY_IDS for tensor in self.contract.inputs)
        return self.shape.input_vocabulary if has_history else None

    def token_inputs(self, feed: StepInput) -> dict[str, NDArray[Any]]:
        """What a graph of either form takes of a row's tokens, int64 (1, n) each, contiguous."""
        count = len(feed.input_ids)
        inputs: dict[str, NDArray[Any]] = {
            INPUT_IDS: np.ascontiguousarray(feed.input_ids)[None],
            POSITION_IDS: np.arange(feed.past_length, feed.past_length + count)[None],
        }
        none = self.null_history_id
        if none is not None:
            history = np.full(count, none) if feed.history_ids is None else feed.history_ids
            inputs[HISTORY_IDS] = np.ascontiguousarray(history)[None]
        return inputs
