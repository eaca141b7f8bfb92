"""Appends what sampling mostly needs of the logits, so that a GPU need not return all of them.

    top_logits, top_ids = TopK(logits)
    log_sum_exp = Log(ReduceSum(Exp(logits - max))) + max
    end_logit = the last logit

The codebooks of the coarse stage alternate: there the top logits are those of the codebook that
follows the last input id. `ApplyContractPass` sets the types and shapes of the outputs.
"""

from collections.abc import Sequence
from typing import cast

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import InPlacePass, PassResult

from bark_onnx.graphs.contract import INPUT_IDS, LOGITS, CausalStage, GraphContract
from bark_onnx.graphs.passes.appender import Appender
from bark_onnx.graphs.shapes import ModelShapes
from bark_onnx.graphs.top_logits import (
    END_LOGIT,
    LOG_SUM_EXP,
    TOP_IDS,
    TOP_LOGITS,
    TOP_OUTPUTS,
    top_groups,
)


class AppendTopLogitsPass(InPlacePass):
    """Append the top logits to the outputs of a causal graph.

    Args:
        contract: Contract of the graph with top logits.
        shapes: Sizes of the sub-models.
    """

    def __init__(self, contract: GraphContract, shapes: ModelShapes) -> None:
        super().__init__()
        self.contract = contract
        self.shapes = shapes

    def requires(self, model: ir.Model) -> None:
        """Require logits, and none of the outputs that are appended."""
        names = {value.name for value in model.graph.outputs}
        if LOGITS not in names or names & set(TOP_OUTPUTS):
            raise ir.passes.PreconditionError(f"outputs are {sorted(map(str, names))}")

    def call(self, model: ir.Model) -> PassResult:
        """Append the outputs of the contract."""
        tensors = {tensor.name: tensor for tensor in self.contract.outputs}
        (logits,) = (value for value in model.graph.outputs if value.name == LOGITS)
        append = Appender(model)
        groups = top_groups(cast("CausalStage", self.contract.stage), self.shapes)
        candidates = self._candidates(append, logits, groups) if len(groups) > 1 else logits
        count = append.constant([tensors[TOP_LOGITS].shape[1]], np.int64)
        top, indices = append("TopK", candidates, count, num_outputs=2)
        (ids,) = append("Cast", indices, to=ir.DataType.INT32)
        found = {TOP_LOGITS: top, TOP_IDS: ids, LOG_SUM_EXP: _log_sum_exp(append, logits)}
        if END_LOGIT in tensors:
            last = append.constant(-1, np.int64)
            (found[END_LOGIT],) = append("Gather", logits, last, axis=1)
        for name, value in found.items():
            value.name = name
            model.graph.outputs.append(value)
        return PassResult(model, modified=True)

    def _candidates(self, append: Appender, logits: ir.Value, groups: Sequence[range]) -> ir.Value:
        """Logits, minus infinity outside of the group that follows the last input id."""
        inputs = {value.name: value for value in append.model.graph.inputs}
        first = self.shapes.coarse.first_logit_id
        last = append.constant([-1], np.int64)
        (last_id,) = append("Gather", inputs[INPUT_IDS], last, axis=1)  # (batch, 1)
        begin, end = (
            append.constant(first + bound, np.int64) for bound in (groups[0].start, groups[0].stop)
        )
        (is_after,) = append("GreaterOrEqual", last_id, begin)
        (is_before,) = append("Less", last_id, end)
        (is_second,) = append("And", is_after, is_before)
        masks: list[ir.Value] = []
        for group in groups:
            offsets = np.full((1, groups[-1].stop), -np.inf, np.float32)
            offsets[:, group.start : group.stop] = 0
            masks.append(append.constant(offsets, np.float32))
        (mask,) = append("Where", is_second, masks[1], masks[0])
        (masked,) = append("Add", logits, mask)
        return masked


def _log_sum_exp(append: Appender, logits: ir.Value) -> ir.Value:
    """ReduceLogSumExp takes four times as long on a CPU, and would not show minus infinity."""
    axis = append.constant([1], np.int64)
    (largest,) = append("ReduceMax", logits, axis)  # (batch, 1)
    (below,) = append("Sub", logits, largest)
    (powers,) = append("Exp", below)
    (total,) = append("ReduceSum", powers, axis)
    (logarithm,) = append("Log", total)
    (summed,) = append("Add", logarithm, largest)
    (least,) = append("ReduceMin", logits, axis)
    (spread,) = append("Mul", least, append.constant(0, np.float32))  # infinite: not a number
    (checked,) = append("Add", summed, spread)
    (flat,) = append("Squeeze", checked, axis)
    return flat
