"""The outputs of a step that hold its largest logits: names, sizes, types.

A draw mostly needs no more of the logits, so that a GPU need not return all of them.
"""

from typing import Literal

from bark_onnx.graphs.shapes import ModelShapes
from bark_onnx.graphs.tensor_contract import TensorContract

TOP_LOGITS = "top_logits"
TOP_IDS = "top_ids"
LOG_SUM_EXP = "log_sum_exp"
END_LOGIT = "end_logit"
TOP_OUTPUTS = (TOP_LOGITS, TOP_IDS, LOG_SUM_EXP, END_LOGIT)  # in this order, END_LOGIT if any

MAX_TOP_LOGITS = 64  # of each sequence; a top_k of 50 is the usual one

_CausalStage = Literal["semantic", "coarse"]


def top_groups(stage: _CausalStage, shapes: ModelShapes) -> tuple[range, ...]:
    """Indices of the logits that top logits are chosen from.

    The coarse stage has two groups, since its codebooks alternate: a token of the first codebook is
    followed by one of the second, and any other by one of the first.
    """
    if stage == "semantic":
        return (range(shapes.semantic.num_logits),)
    size, count = shapes.fine.num_logits, shapes.coarse.num_logits
    return range(min(size, count)), range(min(size, count), count)


def num_top_logits(stage: _CausalStage, shapes: ModelShapes) -> int:
    """Number of top logits of each sequence."""
    sizes = [len(group) for group in top_groups(stage, shapes) if group]
    return min(MAX_TOP_LOGITS, *sizes)


def top_tensors(stage: _CausalStage, shapes: ModelShapes) -> tuple[TensorContract, ...]:
    """Outputs of a fused graph of a stage."""
    size = ("batch", num_top_logits(stage, shapes))
    which = "the largest logits, in descending order"
    if stage == "coarse":
        which += ", of the codebook that follows the last input id"
    finite = "logarithm of the sum of exp(logits); not a number if a logit is none or infinite"
    tensors = (
        TensorContract(TOP_LOGITS, "float32", size, which),
        TensorContract(TOP_IDS, "int32", size, "indices of top_logits in logits"),
        TensorContract(LOG_SUM_EXP, "float32", ("batch",), finite),
    )
    if stage == "coarse":
        return tensors
    end = TensorContract(END_LOGIT, "float32", ("batch",), "logit that ends the utterance")
    return (*tensors, end)
