"""The four stages on OpenVINO, as Bark's own loops want them. Never imports torch."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from bark_onnx.graphs.contract import HISTORY_IDS, INPUT_IDS, POSITION_IDS, Stage
from bark_onnx.graphs.shapes import ModelShapes
from bark_onnx.graphs.voices.voice import Tokens
from bark_onnx.runtime.inference.decoders.decoder import StepInput
from bark_onnx.runtime.inference.sampling import Logits

_BEAM_INDEX = np.zeros(1, np.int32)

# What OpenVINO computes in by default is bf16 where the processor has it.
_EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}


class StatefulDecoder:
    """A causal stage with its cache inside OpenVINO: one row, one model for all feeds.

    Args:
        compiled: a stateful model of openvino_models.py.
        no_history: the id that adds nothing; None where the model takes no history.
    """

    slots = 1

    def __init__(self, compiled: Any, null_history_id: int | None) -> None:
        self.lengths = np.zeros(1, np.int64)
        self._request = compiled.create_infer_request()
        self._no_history = null_history_id
        self._fed = np.zeros((2, 0), np.int64)  # ids and history ids that the state holds

    def feed(self, slot: int, feed: StepInput) -> Logits:
        """See `Decoder`."""
        none = self._no_history or 0
        history = (
            np.full(len(feed.input_ids), none) if feed.history_ids is None else feed.history_ids
        )
        tokens = np.stack([feed.input_ids, history])
        held = self._fed.shape[1]
        if feed.past_length != held or (held and len(feed.input_ids) > 1):
            # Run what is kept again. OpenVINO shortens its cache only by a detour through our
            # memory, and several tokens after a cache take ten times as long as all of them
            # without one (LOG.md).
            tokens = np.concatenate([self._fed[:, : feed.past_length], tokens], axis=1)
            self._fed = np.zeros((2, 0), np.int64)
            self._request.reset_state()
        logits: Logits = self._run(tokens)[0]
        return logits

    def step(self, input_ids: Tokens) -> NDArray[np.float32]:
        """See `Decoder`."""
        return self._run(np.array([input_ids, [self._no_history or 0]]))

    def copy_slot(self, source: int, target: int) -> None:
        """See `Decoder`. There is one slot, so a row is where it belongs."""
        assert source == target == 0

    def _run(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Run ids and history ids (2, n) after those that the state holds; logits (1, n)."""
        past_length = self._fed.shape[1]
        self._fed = np.concatenate([self._fed, tokens], axis=1)
        inputs = {
            INPUT_IDS: tokens[:1],
            POSITION_IDS: np.arange(past_length, self._fed.shape[1])[None],
            "beam_idx": _BEAM_INDEX,
        }
        if self._no_history is not None:
            inputs[HISTORY_IDS] = tokens[1:]
        run = self._request.infer(inputs, share_inputs=True, share_outputs=True)
        logits: NDArray[np.float32] = run[0]
        self.lengths[0] = self._fed.shape[1]
        return logits


class Session:
    """A stage without state, called as an onnxruntime session is."""

    def __init__(self, compiled: Any) -> None:
        self._request = compiled.create_infer_request()

    def run(self, _: None, inputs: dict[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        """All outputs."""
        arrays = {name: np.asarray(value, order="C") for name, value in inputs.items()}
        return [*self._request.infer(arrays).values()]


def open_stage(
    folder: Path, stage: Stage, shapes: ModelShapes, *, precision: str, threads: int
) -> Any:
    """A `Decoder` (semantic, coarse) or a `Session` (fine, codec).

    Args:
        folder: of the models.
        stage: which one.
        shapes: of the checkpoint.
        precision: "f32" computes in float32, all others in what OpenVINO takes by itself.
        threads: of the CPU.
    """
    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    if precision == "f32":
        options |= _EXACT
    compiled = openvino.Core().compile_model(folder / f"{stage}.xml", "CPU", options)
    if stage == "semantic":
        return StatefulDecoder(compiled, shapes.semantic.input_vocabulary)
    return StatefulDecoder(compiled, None) if stage == "coarse" else Session(compiled)
