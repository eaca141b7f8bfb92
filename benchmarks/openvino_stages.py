"""The four stages on OpenVINO, as decoders and sessions of bark-onnx. Never imports torch."""

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

# By default, OpenVINO computes in bf16 if the processor supports it.
_EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}


class StatefulDecoder:
    """A decoder of one sequence whose cache is the state of an OpenVINO model.

    Args:
        compiled: Stateful model of openvino_models.py.
        null_history_id: History id with a zero embedding; None if the model has no history input.
    """

    slots = 1

    def __init__(self, compiled: Any, null_history_id: int | None) -> None:
        self.lengths = np.zeros(1, np.int64)
        self._request = compiled.create_infer_request()
        self._null_history_id = null_history_id
        self._cached = np.zeros((2, 0), np.int64)  # ids and history ids in the state

    def prefill(self, slot: int, step: StepInput) -> Logits:
        """See `Decoder`."""
        history = step.history_ids
        if history is None:
            history = np.full(len(step.input_ids), self._null_history_id or 0)
        tokens = np.stack([step.input_ids, history])
        length = self._cached.shape[1]
        if step.past_length != length or (length and len(step.input_ids) > 1):
            # Run the kept tokens again. OpenVINO can crop its cache only by copying it out and
            # back, and several tokens after a cache take ten times as long as all of them without
            # one (LOG.md).
            tokens = np.concatenate([self._cached[:, : step.past_length], tokens], axis=1)
            self._cached = np.zeros((2, 0), np.int64)
            self._request.reset_state()
        logits: Logits = self._run(tokens)[0]
        return logits

    def decode(self, input_ids: Tokens) -> NDArray[np.float32]:
        """See `Decoder`."""
        return self._run(np.array([input_ids, [self._null_history_id or 0]]))

    def copy_slot(self, source: int, target: int) -> None:
        """See `Decoder`. With one slot, a copy has no effect."""
        assert source == target == 0

    def _run(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Run ids and history ids (2, n) after those in the state; return logits (1, n)."""
        past_length = self._cached.shape[1]
        self._cached = np.concatenate([self._cached, tokens], axis=1)
        inputs = {
            INPUT_IDS: tokens[:1],
            POSITION_IDS: np.arange(past_length, self._cached.shape[1])[None],
            "beam_idx": _BEAM_INDEX,
        }
        if self._null_history_id is not None:
            inputs[HISTORY_IDS] = tokens[1:]
        outputs = self._request.infer(inputs, share_inputs=True, share_outputs=True)
        logits: NDArray[np.float32] = outputs[0]
        self.lengths[0] = self._cached.shape[1]
        return logits


class Session:
    """A stage without state, with the `run` of an onnxruntime session."""

    def __init__(self, compiled: Any) -> None:
        self._request = compiled.create_infer_request()

    def run(self, _: None, inputs: dict[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        """Run the model and return all outputs."""
        arrays = {name: np.asarray(value, order="C") for name, value in inputs.items()}
        return [*self._request.infer(arrays).values()]


def open_stage(
    folder: Path, stage: Stage, shapes: ModelShapes, *, precision: str, threads: int
) -> Any:
    """Open a stage as a `Decoder` (semantic, coarse) or a `Session` (fine, codec).

    Args:
        folder: Folder of the models.
        stage: Name of the stage.
        shapes: Shapes of the checkpoint.
        precision: "f32" computes in float32, others in the default type of OpenVINO.
        threads: CPU threads.
    """
    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    if precision == "f32":
        options |= _EXACT
    compiled = openvino.Core().compile_model(folder / f"{stage}.xml", "CPU", options)
    if stage == "semantic":
        return StatefulDecoder(compiled, shapes.semantic.input_vocabulary)
    return StatefulDecoder(compiled, None) if stage == "coarse" else Session(compiled)
