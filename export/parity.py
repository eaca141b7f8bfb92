"""Compares exported graphs with their transformers modules, on random inputs."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bark_onnx.export.checkpoints.checkpoint import Checkpoint
from bark_onnx.export.session import KeyValueCache, open_session
from bark_onnx.graphs import contract
from bark_onnx.graphs.bundle.manifest import ParityCase
from bark_onnx.graphs.contract import Attention, Stage
from bark_onnx.graphs.errors import ExportError

# Largest allowed difference, relative to the largest value of the reference, or to 1 if larger.
TOLERANCE: dict[Stage, float] = {"semantic": 2e-5, "coarse": 2e-5, "fine": 2e-5, "codec": 2e-5}

Comparison = tuple[str, NDArray[Any], NDArray[Any]]  # shapes of the inputs, ours, the reference


def compare_stage(
    checkpoint: Checkpoint, stage: Stage, model: Any, graph: Path, attention: Attention
) -> tuple[ParityCase, ...]:
    """Run a graph and its module on the same inputs of several shapes.

    Args:
        checkpoint: Checkpoint of both, for the shapes.
        stage: Stage of the graph.
        model: The transformers module.
        graph: Path of the .onnx file.
        attention: Form of attention of the graph.

    Raises:
        ExportError: onnxruntime is not installed, or a difference exceeds the tolerance.
    """
    session = open_session(graph)
    rng = np.random.default_rng(0)
    if stage == "codec":
        comparisons = _compare_codec(session, checkpoint, model, rng)
    elif stage == "fine":
        comparisons = _compare_fine(session, checkpoint, model, rng)
    else:
        shape = checkpoint.shapes.semantic if stage == "semantic" else checkpoint.shapes.coarse
        cache = KeyValueCache(shape, attention)
        comparisons = _compare_causal(session, checkpoint, stage, model, cache, rng)
    with torch.no_grad():
        cases = tuple(_case(stage, *comparison) for comparison in comparisons)
    for case in cases:
        if not case.largest_difference <= case.tolerance:
            raise ExportError(
                f"{stage}.onnx differs from its torch module by {case.largest_difference:.2e} "
                f"({case.case}), expected at most {case.tolerance:.2e}; please report this, "
                "or export with --no-verify at your own risk"
            )
    return cases


def _case(stage: Stage, case: str, ours: NDArray[Any], reference: NDArray[Any]) -> ParityCase:
    if not np.isfinite(reference).all():
        raise ExportError(
            f"{stage}: its torch module computes NaN or infinity ({case}), so the weights are too "
            "large or damaged; download the checkpoint again"
        )
    difference = float(np.abs(ours.astype(np.float64) - reference).max())
    scale = max(1.0, float(np.abs(reference).max()))
    return ParityCase(case, difference, TOLERANCE[stage] * scale)


def _compare_causal(
    session: Any,
    checkpoint: Checkpoint,
    stage: Stage,
    model: Any,
    cache: KeyValueCache,
    rng: np.random.Generator,
) -> Iterator[Comparison]:
    """Prefill, two decoded tokens, then several tokens at once with a filled cache."""
    logit_ids = checkpoint.logit_ids(stage).numpy()
    vocabulary = model.input_embeds_layer.num_embeddings
    prompt = checkpoint.generation.semantic.prompt_length
    context = model.config.block_size
    for batch, length, continued in ((1, prompt, 7), (2, 33, 1), (1, 1, 600)):
        cache.reset(batch)
        past = None
        for most in (length, 1, 1, continued if batch == 1 else 1):
            position = cache.length
            count = min(most, context - position)
            ids = rng.integers(0, vocabulary, (batch, count))
            random_history = rng.integers(0, vocabulary + 1, (batch, count))
            history = random_history if stage == "semantic" else None
            ours = cache.run(session, ids, history)
            output = _forward(model, _embed(model, ids, history), past, position)
            past = output.past_key_values
            reference = output.logits[:, -1].numpy()[:, logit_ids]
            yield f"batch {batch}, {count} tokens after {position}", ours, reference


def _embed(model: Any, ids: NDArray[Any], history: NDArray[Any] | None) -> torch.Tensor:
    table = model.input_embeds_layer
    embedded: torch.Tensor = table(torch.from_numpy(ids))
    if history is None:
        return embedded
    known = torch.from_numpy(history < table.num_embeddings)[..., None]
    clipped = torch.from_numpy(np.minimum(history, table.num_embeddings - 1))
    return embedded + table(clipped) * known


def _forward(model: Any, embedded: torch.Tensor, past: Any, position: int) -> Any:
    """Run the module on embeddings, whose keyword differs between transformers 4 and 5."""
    hook = model.input_embeds_layer.register_forward_hook(lambda *_: embedded)
    try:
        return model(
            input_ids=torch.zeros(embedded.shape[:2], dtype=torch.long),
            past_key_values=past,
            position_ids=torch.arange(position, position + embedded.shape[1])[None],
            use_cache=True,
        )
    finally:
        hook.remove()


def _compare_fine(
    session: Any,
    checkpoint: Checkpoint,
    model: Any,
    rng: np.random.Generator,
) -> Iterator[Comparison]:
    """Every codebook, all and some frames, short windows and a full one."""
    shape = checkpoint.shapes.fine
    window = checkpoint.generation.fine.max_fine_input_length
    books = range(shape.num_given_codebooks, shape.num_codebooks)
    sizes = itertools.chain([(1, window)], itertools.repeat((2, 37)))
    for index, (batch, frames) in zip(books, sizes, strict=False):
        codes = rng.integers(0, shape.num_logits + 1, (batch, frames, shape.num_codebooks))
        read = np.arange(index, frames)
        (ours,) = session.run(
            None,
            {
                contract.CODES: codes,
                contract.CODEBOOK_INDEX: np.array(index),
                contract.FRAME_INDICES: read,
            },
        )
        reference = model(index, torch.from_numpy(codes)).logits.numpy()
        case = f"batch {batch}, {frames} frames, codebook {index}, {len(read)} read"
        yield case, ours, reference[:, index:, : shape.num_logits]


def _compare_codec(
    session: Any,
    checkpoint: Checkpoint,
    model: Any,
    rng: np.random.Generator,
) -> Iterator[Comparison]:
    """One frame, fewer frames than the padding, and more."""
    shape = checkpoint.shapes.codec
    for batch, frames in ((1, 1), (1, 5), (2, 7), (1, 150), (3, 61)):
        codes = rng.integers(0, shape.codebook_size, (batch, shape.num_codebooks, frames))
        (ours,) = session.run(None, {contract.CODES: codes})
        embedded = model.quantizer.decode(torch.from_numpy(codes).transpose(0, 1))
        reference = model.decoder(embedded)[:, 0].numpy()
        yield f"batch {batch}, {frames} frames", ours, reference
