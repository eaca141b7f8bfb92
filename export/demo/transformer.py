"""Parts that the three language models share in training."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import parametrize

from bark_onnx.export.demo import features

IGNORED = -100  # as a target


def init_weights(model: nn.Module) -> None:
    """Initialize all weights as GPT-2 does, also without the help of transformers."""
    for name, parameter in model.named_parameters():
        if "layernorm" in name:
            nn.init.constant_(parameter, 1.0 if name.endswith("weight") else 0.0)
        elif parameter.ndim == 1:
            nn.init.zeros_(parameter)
        else:
            nn.init.normal_(parameter, std=0.02)


class _Shared(nn.Module):
    """Adds to each row of a table what the row shares with others."""

    groups: Tensor

    def __init__(self, groups: Tensor, width: int) -> None:
        super().__init__()
        self.register_buffer("groups", groups, persistent=False)  # (rows, groups)
        self.parts = nn.Parameter(torch.randn(groups.shape[1], width) * 0.02)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight (more rows, width) with the shared parts."""
        shared = self.groups @ self.parts
        return weight + nn.functional.pad(shared, (0, 0, 0, len(weight) - len(shared)))


def share_parts(table: Any) -> None:
    """Let the rows of semantic tokens share a part by phone, by third and by level of pitch.

    A token is seen seldom, its phone often. `fold_parts` makes the table a plain one again.
    """
    width = table.weight.shape[1]
    parametrize.register_parametrization(table, "weight", _Shared(features.token_groups(), width))


def fold_parts(model: Any) -> None:
    """Make all tables plain ones."""
    for module in model.modules():
        if _has_shared_parts(module):
            parametrize.remove_parametrizations(module, "weight")


def _has_shared_parts(module: Any) -> bool:
    if not parametrize.is_parametrized(module, "weight"):
        return False
    return isinstance(module.parametrizations.weight[0], _Shared)


def hidden_states(model: Any, embeddings: Tensor) -> Tensor:
    """Last hidden states (batch, positions, width) of a Bark model, without its heads."""
    positions = torch.arange(embeddings.shape[1])
    hidden = embeddings + model.position_embeds_layer(positions)
    with torch.autocast("cpu", torch.bfloat16):
        for layer in model.layers:
            hidden = layer(hidden)[0]
        final: Tensor = model.layernorm_final(hidden)
        return final


def token_loss(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """Mean negative log-likelihood of targets (...) under the rows `head` of an output layer."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = nn.functional.linear(hidden, head)
    return cross_entropy(logits.float().flatten(0, -2), targets.flatten(), ignore_index=IGNORED)


def pad(rows: list[list[int]], value: int, length: int | None = None) -> Tensor:
    """Rows of ids as one tensor (rows, length), filled at the end."""
    length = max(map(len, rows)) if length is None else length
    return torch.tensor([row + [value] * (length - len(row)) for row in rows])


@torch.no_grad()
def align(
    model: Any,
    time: Tensor,
    read: int,
    heads: Sequence[tuple[int, int, float]],
    periods: tuple[float, float],
) -> None:
    """Let positions hold their time, and some heads look at what was read of that time.

    The time is held as sines and cosines, and the queries of an aligned head are rotated by some
    seconds. Without this, a causal model takes ten times as long to find the alignment of what it
    writes with what it has read.

    Args:
        model: A causal Bark model.
        time: Seconds (block_size,) of each position.
        read: Number of the first positions, which are read; the others are written.
        heads: Layer, head and seconds ahead of each aligned head.
        periods: Shortest and longest period of the sines in seconds.
    """
    width, size = model.config.hidden_size, model.config.hidden_size // model.config.num_heads
    count = (size - 2) // 2  # of sines; the last dimension but one is a marker
    shortest, longest = (math.log10(period) for period in periods)
    rate = 2 * math.pi / torch.logspace(shortest, longest, count)
    angle, marker = time[:, None] * rate, 2 * count
    positions = model.position_embeds_layer.weight
    positions[:, :count], positions[:, count:marker] = 0.08 * angle.cos(), 0.08 * angle.sin()
    positions[:read, marker], positions[read:, marker] = 0.12, -0.12
    index = torch.arange(count)
    for layer, head, seconds in heads:
        projection = model.layers[layer].attn.att_proj
        for start, ahead in ((head * size, seconds), (width + head * size, 0.0)):
            rows = projection.weight[start : start + size]  # of queries, then of keys
            rows.zero_()
            cosine, sine = 0.9 * (rate * ahead).cos(), 0.9 * (rate * ahead).sin()
            rows[index, index], rows[index, index + count] = cosine, -sine
            rows[index + count, index], rows[index + count, index + count] = sine, cosine
        # Only what was read: a constant of the queries times the marker of the keys.
        projection.weight[width + head * size + marker, marker] = 1.0
        projection.bias[head * size + marker] = 6.0
