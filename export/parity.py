"""Every exported graph against the transformers module it came from, on random inputs.

The graphs run here as a stranger would run them: through ONNX Runtime's plain `run`.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bark_onnx.export.checkpoints.checkpoint import Checkpoint
from bark_onnx.graphs import contract
from bark_onnx.graphs.bundle.manifest import ParityCase
from bark_onnx.graphs.contract import Attention, Stage
from bark_onnx.graphs.errors import ExportError, ProviderError
from bark_onnx.graphs.onnxruntime import import_onnxruntime
from bark_onnx.graphs.shapes import CausalShape

# Largest difference allowed, relative to the largest value of the reference (1 where that is less).
TOLERANCE: dict[Stage, float] = {"semantic": 2e-5, "coarse": 2e-5, "fine": 2e-5, "codec": 2e-5}

Feeds = dict[str, NDArray[Any]]
Comparison = tuple[str, NDArray[Any], NDArray[Any]]  # what was fed, ours, the reference


def compare_stage(
    checkpoint: Checkpoint, stage: Stage, model: nn.Module, graph: Path, attention: Attention
) -> tuple[ParityCase, ...]:
    """Run one graph and its module on the same inputs of several shapes.

    Args:
        checkpoint: gives the shapes.
        stage: which graph.
        model: the transformers module.
        graph: the .onnx file.
        attention: the graph's form.

    Raises:
        ExportError: onnxruntime is missing, or a difference exceeds the tolerance.
    """
    session = open_graph(graph)
    rng = np.random.default_rng(0)
    if stage == "codec":
        comparisons = _compare_codec(session, checkpoint, model, rng)
    elif stage == "fine":
        comparisons = _compare_fine(session, checkpoint, model, rng)
    else:
        shape = checkpoint.shapes.semantic if stage == "semantic" else checkpoint.shapes.coarse
        cache = (FusedCache if attention == "fused" else GrowingCache)(shape)
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


def _case(stage: Stage, fed: str, ours: NDArray[Any], reference: NDArray[Any]) -> ParityCase:
    difference = float(np.abs(ours.astype(np.float64) - reference).max())
    scale = max(1.0, float(np.abs(reference).max()))
    return ParityCase(fed, difference, TOLERANCE[stage] * scale)


def open_graph(graph: Path) -> Any:
    """An ONNX Runtime session on the CPU.

    Raises:
        ExportError: onnxruntime is missing.
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


class GrowingCache:
    """Feeds of the standard form: the outputs of one run are the inputs of the next."""

    def __init__(self, shape: CausalShape, dtype: type[np.floating] = np.float32) -> None:
        self.shape = shape
        self.dtype = dtype
        self.values: list[NDArray[Any]] = []

    def start(self, batch: int) -> None:
        """Forget everything."""
        size = (batch, self.shape.num_heads, 0, self.shape.head_size)
        self.values = [np.zeros(size, self.dtype)] * (2 * self.shape.num_layers)

    def feeds(self, length: int) -> Feeds:
        """Inputs of a run after which the cache holds `length` tokens."""
        return dict(zip(self._names(), self.values, strict=True))

    def keep(self, present: list[NDArray[Any]]) -> None:
        """Take the cache that a run returned."""
        self.values = present

    def _names(self) -> list[str]:
        layers = range(self.shape.num_layers)
        return [
            contract.past_name(layer, part)
            for layer, part in itertools.product(layers, contract.CACHE_PARTS)
        ]


class FusedCache(GrowingCache):
    """Feeds of the fused form: buffers of the full context, and how much of them is valid."""

    def start(self, batch: int) -> None:
        """Forget everything."""
        size = (batch, self.shape.num_heads, self.shape.context_length, self.shape.head_size)
        self.values = [np.zeros(size, self.dtype)] * (2 * self.shape.num_layers)

    def feeds(self, length: int) -> Feeds:
        """Inputs of a run after which the cache holds `length` tokens."""
        batch = self.values[0].shape[0]
        return {
            **super().feeds(length),
            contract.SEQLENS_K: np.full(batch, length - 1, np.int32),
            contract.TOTAL_SEQUENCE_LENGTH: np.array(length, np.int32),
        }


def _compare_causal(
    session: Any,
    checkpoint: Checkpoint,
    stage: Stage,
    model: nn.Module,
    cache: GrowingCache,
    rng: np.random.Generator,
) -> Iterator[Comparison]:
    """A prompt, two single tokens, then several tokens at once after what came before."""
    kept = checkpoint.logit_ids(stage).numpy()
    vocabulary = cache.shape.input_vocabulary
    prompt = checkpoint.generation.semantic.prompt_length
    for batch, length, continued in ((1, prompt, 7), (2, 33, 1), (1, 1, 600)):
        cache.start(batch)
        past = None
        position = 0
        for count in (length, 1, 1, continued if batch == 1 else 1):
            ids = rng.integers(0, vocabulary, (batch, count))
            history = rng.integers(0, vocabulary + 1, (batch, count))
            position += count
            feeds = {
                contract.INPUT_IDS: ids,
                contract.POSITION_IDS: np.tile(np.arange(position - count, position), (batch, 1)),
                **cache.feeds(position),
            }
            if stage == "semantic":
                feeds[contract.HISTORY_IDS] = history
            ours, *present = session.run(None, feeds)
            cache.keep(present)
            embedded = _embed(model, ids, history if stage == "semantic" else None)
            output = _forward(model, embedded, past, position, count)
            past = output.past_key_values
            reference = output.logits[:, -1].numpy()[:, kept]
            yield f"batch {batch}, {count} tokens after {position - count}", ours, reference


def _embed(model: nn.Module, ids: NDArray[Any], history: NDArray[Any] | None) -> torch.Tensor:
    table = model.input_embeds_layer
    embedded: torch.Tensor = table(torch.from_numpy(ids))
    if history is None:
        return embedded
    known = torch.from_numpy(history < table.num_embeddings)[..., None]
    clipped = torch.from_numpy(np.minimum(history, table.num_embeddings - 1))
    return embedded + table(clipped) * known


def _forward(
    model: nn.Module,
    embedded: torch.Tensor,
    past: Any,
    position: int,
    count: int,
) -> Any:
    """Run the module on embeddings: its keyword for them differs between transformers 4 and 5."""
    hook = model.input_embeds_layer.register_forward_hook(lambda *_: embedded)
    try:
        return model(
            input_ids=torch.zeros(embedded.shape[:2], dtype=torch.long),
            past_key_values=past,
            position_ids=torch.arange(position - count, position)[None],
            use_cache=True,
        )
    finally:
        hook.remove()


def _compare_fine(
    session: Any,
    checkpoint: Checkpoint,
    model: nn.Module,
    rng: np.random.Generator,
) -> Iterator[Comparison]:
    """Every codebook, all frames and some, short windows and a full one."""
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
    model: nn.Module,
    rng: np.random.Generator,
) -> Iterator[Comparison]:
    """One frame, fewer than the padding needs, and more."""
    shape = checkpoint.shapes.codec
    for batch, frames in ((1, 1), (1, 5), (2, 7), (1, 150), (3, 61)):
        codes = rng.integers(0, shape.codebook_size, (batch, shape.num_codebooks, frames))
        (ours,) = session.run(None, {contract.CODES: codes})
        embedded = model.quantizer.decode(torch.from_numpy(codes).transpose(0, 1))
        reference = model.decoder(embedded)[:, 0].numpy()
        yield f"batch {batch}, {frames} frames", ours, reference
