"""Compares graphs of a lower precision with the float32 graphs, on random tokens."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bark_onnx.export.checkpoints.checkpoint import Checkpoint
from bark_onnx.export.session import KeyValueCache, open_session
from bark_onnx.graphs import contract
from bark_onnx.graphs.bundle.manifest import PREFILL_SUFFIX, PrecisionError
from bark_onnx.graphs.contract import Stage
from bark_onnx.graphs.errors import ExportError

_PROMPTS = 3
_DECODED_TOKENS = 16  # compared after each prompt
_CACHE_DTYPES: dict[str, type[np.floating[Any]]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}


def compare_precision(
    checkpoint: Checkpoint, stage: Stage, reference: Path, graph: Path
) -> PrecisionError:
    """Measure how far the logits of a graph are from those of the float32 graph.

    Args:
        checkpoint: Checkpoint of both, for shapes and sampling temperatures.
        stage: "semantic", "coarse" or "fine".
        reference: Float32 graph.
        graph: Graph of the lower precision; its prefill graph is used if it has one.

    Raises:
        ExportError: The logits are not finite.
    """
    if stage == "fine":
        ours, theirs = _fine_logits(checkpoint, reference, graph)
        temperature = checkpoint.generation.fine.temperature
    else:
        ours, theirs = _causal_logits(checkpoint, stage, reference, graph)
        temperature = getattr(checkpoint.generation, stage).sampling.temperature
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        raise ExportError(
            f"{graph.parent.name}/{graph.name}: its logits are NaN or infinite, as the weights "
            "exceed the range of the precision; export without it"
        )
    return precision_error(ours, theirs, temperature)


def precision_error(
    ours: NDArray[np.float32], theirs: NDArray[np.float32], temperature: float
) -> PrecisionError:
    """Compare logits (positions, n) with those of float32, sampled at a temperature."""
    temperature = temperature or 1.0  # without sampling it may be 0
    found, expected = _log_softmax(ours / temperature), _log_softmax(theirs / temperature)
    norm = np.linalg.norm(theirs) or 1.0  # all logits may be 0
    divergence = (np.exp(expected) * (expected - found)).sum(-1)
    return PrecisionError(
        relative_logit_error=float(np.linalg.norm(ours - theirs) / norm),
        equal_argmax_share=float((ours.argmax(-1) == theirs.argmax(-1)).mean()),
        kl_divergence=float(divergence.mean()),
    )


def _log_softmax(scores: NDArray[Any]) -> NDArray[Any]:
    scores = scores.astype(np.float64)
    scores = scores - scores.max(-1, keepdims=True)
    logarithms: NDArray[Any] = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    return logarithms


def _fine_logits(
    checkpoint: Checkpoint, reference: Path, graph: Path
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits (frames, codes) of both graphs for one full window."""
    shape = checkpoint.shapes.fine
    rng = np.random.default_rng(1)
    frames = checkpoint.generation.fine.max_fine_input_length
    inputs = {
        contract.CODES: rng.integers(0, shape.num_logits, (1, frames, shape.num_codebooks)),
        contract.CODEBOOK_INDEX: np.array(shape.num_codebooks // 2),
        contract.FRAME_INDICES: np.arange(frames),
    }
    ours, theirs = (open_session(path).run(None, inputs)[0][0] for path in (graph, reference))
    return ours, theirs


def _causal_logits(
    checkpoint: Checkpoint, stage: Stage, reference: Path, graph: Path
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits (tokens, n) of both graphs for prompts and decoded tokens, with separate caches."""
    prefill = graph.with_suffix(PREFILL_SUFFIX)
    graphs = [open_session(prefill if prefill.is_file() else graph), open_session(graph)]
    references = [open_session(reference)] * 2
    ours: list[NDArray[np.float32]] = []
    theirs: list[NDArray[np.float32]] = []
    for seed in range(_PROMPTS):
        for sessions, logits in ((graphs, ours), (references, theirs)):
            logits += _generate(checkpoint, stage, sessions, np.random.default_rng(seed))
    return np.concatenate(ours), np.concatenate(theirs)


def _generate(
    checkpoint: Checkpoint, stage: Stage, sessions: list[Any], rng: np.random.Generator
) -> list[NDArray[np.float32]]:
    """Logits after a prompt (first session) and after each decoded token (second session)."""
    shape = checkpoint.shapes.semantic if stage == "semantic" else checkpoint.shapes.coarse
    cache = KeyValueCache(shape, "fused", _CACHE_DTYPES[sessions[0].get_inputs()[-1].type])
    cache.reset(1)
    logits: list[NDArray[np.float32]] = []
    for count in (checkpoint.generation.semantic.prompt_length, *[1] * _DECODED_TOKENS):
        ids, history = rng.integers(0, shape.input_vocabulary, (1, count)), None
        if stage == "semantic":
            history = rng.integers(0, shape.input_vocabulary, (1, count))
            if count == 1:
                history[:] = shape.input_vocabulary  # adds nothing
        logits.append(cache.run(sessions[min(len(logits), 1)], ids, history))
    return logits
