"""A float32 graph to the graphs of a lower precision, and how far those are from it."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes import InPlacePass
from onnx_ir.passes.common import RemoveUnusedNodesPass

from bark_onnx.export.checkpoints.checkpoint import Checkpoint
from bark_onnx.export.parity import FusedCache, open_graph
from bark_onnx.export.trace import save_graph
from bark_onnx.graphs import contract
from bark_onnx.graphs.bundle.manifest import PrecisionError, prefill_graph
from bark_onnx.graphs.contract import GraphContract, Stage
from bark_onnx.graphs.passes.apply_contract import ApplyContractPass
from bark_onnx.graphs.passes.convert_to_float16 import ConvertToFloat16Pass
from bark_onnx.graphs.passes.quantize_embeddings import QuantizeEmbeddingsPass
from bark_onnx.graphs.passes.quantize_matmul_blockwise import QuantizeMatMulBlockwisePass
from bark_onnx.graphs.passes.quantize_matmul_per_tensor import QuantizeMatMulPerTensorPass
from bark_onnx.graphs.passes.quantize_matmul_per_token import QuantizeMatMulPerTokenPass
from bark_onnx.graphs.precisions import (
    HEAD_KERNEL,
    BlockwiseInt,
    Float16,
    PerTensorInt8,
    PerTokenInt8,
    QuantizationScheme,
    StagePrecision,
)

_STEPS = 16  # single tokens compared after a prompt
_PROMPTS = 3
_CACHE_DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


def quantize_stage(
    source: Path, target: Path, precision: StagePrecision, contract: GraphContract
) -> None:
    """Write the graphs of a stage at a lower precision.

    Args:
        source: the float32 graph.
        target: the graph to write; its prompt's graph, where it has one, is written beside it.
        precision: which kernels.
        contract: of the graphs to write.
    """
    save_graph(_rewritten(source, precision.kernel, contract), target)
    if precision.prompt_kernel is not None:
        prompt = _rewritten(source, precision.prompt_kernel, contract)
        save_graph(prompt, prefill_graph(target), shared=target)


def _rewritten(source: Path, kernel: QuantizationScheme, contract: GraphContract) -> ir.Model:
    graph = ir.load(source)
    for rewrite in (*_passes(kernel), RemoveUnusedNodesPass(), ApplyContractPass(contract)):
        rewrite(graph)
    return graph


def _passes(kernel: QuantizationScheme) -> list[InPlacePass]:
    if isinstance(kernel, Float16):
        return [ConvertToFloat16Pass()]
    head = QuantizeMatMulBlockwisePass(HEAD_KERNEL.bits, HEAD_KERNEL.block_size, head=True)
    return [_products(kernel), head, QuantizeEmbeddingsPass()]


def _products(kernel: BlockwiseInt | PerTensorInt8 | PerTokenInt8) -> InPlacePass:
    """The pass for all products but the head's."""
    if isinstance(kernel, BlockwiseInt):
        return QuantizeMatMulBlockwisePass(kernel.bits, kernel.block_size, head=False)
    return (
        QuantizeMatMulPerTensorPass()
        if isinstance(kernel, PerTensorInt8)
        else QuantizeMatMulPerTokenPass()
    )


def compare_precision(
    checkpoint: Checkpoint, stage: Stage, reference: Path, graph: Path
) -> PrecisionError:
    """How far the logits of a graph are from those of the float32 graph on random tokens.

    Args:
        checkpoint: gives shapes and the sampling temperature.
        stage: semantic, coarse or fine.
        reference: the float32 graph.
        graph: the graph of a lower precision; prompts run through its prompt's graph.
    """
    if stage == "fine":
        ours, theirs = _fine_logits(checkpoint, reference, graph)
        temperature = checkpoint.generation.fine.temperature
    else:
        ours, theirs = _causal_logits(checkpoint, stage, reference, graph)
        temperature = getattr(checkpoint.generation, stage).sampling.temperature
    return precision_error(ours, theirs, temperature)


def precision_error(
    ours: NDArray[np.float32], theirs: NDArray[np.float32], temperature: float
) -> PrecisionError:
    """How far logits (positions, n) are from those of float32, sampled at a temperature."""
    found, expected = _log_softmax(ours / temperature), _log_softmax(theirs / temperature)
    divergence = (np.exp(expected) * (expected - found)).sum(-1)
    return PrecisionError(
        relative_logit_error=float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)),
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
    """One full window; (frames, codes) each."""
    shape = checkpoint.shapes.fine
    rng = np.random.default_rng(1)
    frames = checkpoint.generation.fine.max_fine_input_length
    feeds = {
        contract.CODES: rng.integers(0, shape.num_logits, (1, frames, shape.num_codebooks)),
        contract.CODEBOOK_INDEX: np.array(shape.num_codebooks // 2),
        contract.FRAME_INDICES: np.arange(frames),
    }
    ours, theirs = (open_graph(path).run(None, feeds)[0][0] for path in (graph, reference))
    return ours, theirs


def _causal_logits(
    checkpoint: Checkpoint, stage: Stage, reference: Path, graph: Path
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Prompts with single tokens after them, each side with its own cache; (tokens, n) each."""
    prompt = prefill_graph(graph)
    graphs = [open_graph(prompt if prompt.is_file() else graph), open_graph(graph)]
    references = [open_graph(reference)] * 2
    ours, theirs = [], []
    for seed in range(_PROMPTS):
        for sessions, found in ((graphs, ours), (references, theirs)):
            found += _continue_prompt(checkpoint, stage, sessions, np.random.default_rng(seed))
    return np.concatenate(ours), np.concatenate(theirs)


def _continue_prompt(
    checkpoint: Checkpoint, stage: Stage, sessions: list[Any], rng: np.random.Generator
) -> list[NDArray[np.float32]]:
    """Logits after a prompt (first session) and after each of some tokens (second session)."""
    shape = checkpoint.shapes.semantic if stage == "semantic" else checkpoint.shapes.coarse
    cache = FusedCache(shape, _CACHE_DTYPES[sessions[0].get_inputs()[-1].type])
    cache.start(1)
    logits = []
    position = 0
    for count in (checkpoint.generation.semantic.prompt_length, *[1] * _STEPS):
        position += count
        feeds = {
            contract.INPUT_IDS: rng.integers(0, shape.input_vocabulary, (1, count)),
            contract.POSITION_IDS: np.arange(position - count, position)[None],
            **cache.feeds(position),
        }
        if stage == "semantic":
            none = np.full((1, count), shape.input_vocabulary)
            history = rng.integers(0, shape.input_vocabulary, (1, count))
            feeds[contract.HISTORY_IDS] = history if count > 1 else none
        found, *present = sessions[min(len(logits), 1)].run(None, feeds)
        cache.keep(present)
        logits.append(found)
    return logits
