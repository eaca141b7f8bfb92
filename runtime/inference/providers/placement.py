"""Where ONNX Runtime has placed the nodes of a graph."""

from pathlib import Path
from typing import Any

from bark_onnx.graphs.errors import ProviderError

# Operators with most of the computation: one of these on the CPU means that the GPU is not used.
COMPUTE_OPS = {
    "Attention",
    "Conv",
    "ConvTranspose",
    "FusedMatMul",
    "Gelu",
    "GroupQueryAttention",
    "LayerNormalization",
    "LSTM",
    "MatMul",
    "MultiHeadAttention",
    "SkipLayerNormalization",
}

# Session option: the session keeps the provider of every node.
RECORD_PLACEMENT = "session.record_ep_graph_assignment_info"


def check_operators(session: Any, path: Path, *, provider: str, label: str, remedy: str) -> None:
    """Check that no operator with much computation was left to another provider.

    Args:
        session: Session that was opened with `RECORD_PLACEMENT`.
        path: Path of its graph.
        provider: ONNX Runtime's name of the provider, such as CUDAExecutionProvider.
        label: Its name in messages.
        remedy: An imperative clause.

    Raises:
        ProviderError: The provider has no kernel for one of `COMPUTE_OPS`.
    """
    operators = {
        node.op_type
        for part in session.get_provider_graph_assignment_info()
        if part.ep_name != provider
        for node in part.get_nodes()
    }
    misplaced = sorted(operators & COMPUTE_OPS)
    if misplaced:
        raise ProviderError(
            f"{path}: {label} has no kernel for {', '.join(misplaced)}, which would run on the "
            f"CPU; {remedy}"
        )
