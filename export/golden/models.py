"""The graphs of a bundle as a port runs them: one sequence, with the cache in place if fused."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.export.session import Tokens, open_session
from bark_onnx.graphs import contract
from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.contract import CausalStage
from bark_onnx.graphs.errors import ExportError

# Most tokens of a run of a fused graph; a longer one is split.
CHUNK_TOKENS = 300


class CausalModel:
    """The semantic or the coarse stage of a bundle, with the cache of one sequence.

    Args:
        bundle: Bundle with the graphs.
        stage: "semantic" or "coarse".
        precision: Precision of the graphs.
    """

    def __init__(self, bundle: Bundle, stage: CausalStage, precision: str) -> None:
        self.length = 0  # tokens in the cache
        self.stage = stage
        path = bundle.graph(precision, stage)
        prefill = bundle.prefill_graph(precision, stage)
        self.decode_graph, self.prefill_graph = path, prefill or path
        self._decode = self._prefill = open_session(path)
        if prefill is not None:
            self._prefill = open_session(prefill)
        agreed = bundle.contract(stage, precision)
        shape = getattr(bundle.manifest.shapes, stage)
        self._is_fused = agreed.attention == "fused"
        self.null_history = shape.input_vocabulary if stage == "semantic" else None
        self._parts = [
            (layer, part) for layer in range(shape.num_layers) for part in contract.CACHE_PARTS
        ]
        length = shape.context_length if self._is_fused else 0
        size = (len(self._parts), 1, shape.num_heads, length, shape.head_size)
        self._caches: Any = np.zeros(size, agreed.inputs[-1].numpy_dtype)

    def cached(self, length: int) -> NDArray[Any]:
        """The cache of the first tokens: (layers * 2, 1, heads, length, head size)."""
        return np.stack([cache[:, :, :length] for cache in self._caches])

    def run(self, ids: Tokens, past: int, history: Tokens | None = None) -> NDArray[np.float32]:
        """Logits (n,) after the last of `ids`, which follow the first `past` cached tokens."""
        is_next = past == self.length > 0
        if is_next and len(ids) == 1 and history is None:
            return self._run(self._decode, ids, past, None)
        for begin, end in chunks(len(ids)) if self._is_fused else [(0, len(ids))]:
            part = None if history is None else history[begin:end]
            logits = self._run(self._prefill, ids[begin:end], past + begin, part)
        return logits

    def reset(self) -> None:
        """Begin another sequence."""
        self.length = 0

    def token_inputs(self, ids: Tokens, past: int, history: Tokens | None) -> dict[str, Any]:
        """All inputs of a run but the cache."""
        end = past + len(ids)
        inputs: dict[str, Any] = {contract.INPUT_IDS: np.array(ids, np.int64)[None]}
        if self.null_history is not None:
            added = np.full(len(ids), self.null_history) if history is None else history
            inputs[contract.HISTORY_IDS] = np.array(added, np.int64)[None]
        inputs[contract.POSITION_IDS] = np.arange(past, end)[None]
        if self._is_fused:
            inputs[contract.SEQLENS_K] = np.array([end - 1], np.int32)
            inputs[contract.TOTAL_SEQUENCE_LENGTH] = np.array(end, np.int32)
        return inputs

    def _run(
        self, session: Any, ids: Tokens, past: int, history: Tokens | None
    ) -> NDArray[np.float32]:
        inputs = self.token_inputs(ids, past, history)
        self.length = past + len(ids)
        run = self._run_in_place if self._is_fused else self._run_growing
        logits = run(session, inputs, past)
        if not np.isfinite(logits).all():
            raise ExportError(
                f"{self.stage}: its logits are NaN or infinite, so no kit can be made; choose "
                "another precision"
            )
        return logits

    def _run_in_place(self, session: Any, inputs: dict[str, Any], past: int) -> NDArray[np.float32]:
        binding = session.io_binding()
        binding.bind_output(contract.LOGITS)
        for name, array in inputs.items():
            binding.bind_cpu_input(name, array)
        for (layer, part), cache in zip(self._parts, self._caches, strict=True):
            place = "cpu", 0, cache.dtype.type, cache.shape, cache.ctypes.data
            binding.bind_input(contract.past_name(layer, part), *place)
            binding.bind_output(contract.present_name(layer, part), *place)
        session.run_with_iobinding(binding)
        logits: NDArray[np.float32] = binding.get_outputs()[0].numpy()
        return logits[0]

    def _run_growing(self, session: Any, inputs: dict[str, Any], past: int) -> NDArray[np.float32]:
        for (layer, part), cache in zip(self._parts, self._caches, strict=True):
            kept = np.ascontiguousarray(cache[:, :, :past])
            inputs[contract.past_name(layer, part)] = kept
        logits, *self._caches = session.run(None, inputs)
        first: NDArray[np.float32] = logits[0]
        return first


def chunks(count: int) -> list[tuple[int, int]]:
    """Begin and end of the nearly equal parts in which a fused graph runs `count` tokens."""
    parts = -(-count // CHUNK_TOKENS)
    bounds = [index * count // parts for index in range(parts + 1)]
    return list(pairwise(bounds))
