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
_READ_ONLY = 4.0  # large: the position itself has a key of the same time


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
    return hidden_states_and_attention(model, embeddings)[0]


def hidden_states_and_attention(model: Any, embeddings: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Those of `hidden_states`, and the attention (batch, heads, positions, positions) by layer."""
    positions = torch.arange(embeddings.shape[1], device=embeddings.device)
    hidden = embeddings + model.position_embeds_layer(positions)
    attention = []
    with torch.autocast(embeddings.device.type, torch.bfloat16):
        for layer in model.layers:
            hidden, *_, weights = layer(hidden, output_attentions=True)
            attention.append(weights)
        return model.layernorm_final(hidden), attention


def attention_loss(attention: Tensor, places: Tensor) -> Tensor:
    """Mean negative logarithm of how much a head attends to the place that it should read.

    Args:
        attention: Attention (batch, tokens, positions) of one head.
        places: Place (batch, tokens) among the positions that each token is about; NaN for none.
    """
    known = ~places.isnan()
    positions = torch.arange(attention.shape[-1], device=places.device)
    distance = positions - places.nan_to_num()[..., None]
    near = torch.exp(-0.5 * distance.square())
    share = (attention.float() * near).sum(-1)
    losses = -share.clamp(min=1e-6).log()
    return torch.where(known, losses, 0.0).sum() / known.sum()


def token_loss(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """Mean negative log-likelihood of targets (...) under the rows `head` of an output layer."""
    with torch.autocast(hidden.device.type, torch.bfloat16):
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
    own_heads: Sequence[tuple[int, int, float]] = (),
) -> None:
    """Let positions hold their time, and some heads start by looking at a certain time.

    The time is held as sines and cosines, and the queries of a head are rotated by some seconds.
    Without this, a causal model takes ten times as long to find the alignment of what it writes
    with what it has read.

    Args:
        model: A causal Bark model.
        time: Seconds (block_size,) of each position.
        read: Number of the first positions, which are read; the others are written.
        heads: Layer, head and seconds ahead of each head that looks at what was read.
        periods: Shortest and longest period of the sines in seconds.
        own_heads: The same of heads that look at what was read while the model reads, and at what
            was written while it writes.
    """
    size = model.config.hidden_size // model.config.num_heads
    count = (size - 2) // 2  # of sines; the last dimension but one is a marker
    shortest, longest = (math.log10(period) for period in periods)
    rate = 2 * math.pi / torch.logspace(shortest, longest, count)
    angle, marker = time[:, None] * rate, 2 * count
    positions = model.position_embeds_layer.weight
    positions[:, :count], positions[:, count:marker] = 0.08 * angle.cos(), 0.08 * angle.sin()
    positions[:read, marker], positions[read:, marker] = 0.12, -0.12
    for layer, head, seconds in heads:
        projection = model.layers[layer].attn.att_proj
        queries, keys = _rotate(projection, head, size, rate, seconds, 0.9)
        # Only what was read: a constant of the queries times the marker of the keys.
        projection.weight[keys + marker, marker] = _READ_ONLY
        projection.bias[queries + marker] = 6.0
    for layer, head, seconds in own_heads:
        projection = model.layers[layer].attn.att_proj
        for start in _rotate(projection, head, size, rate, seconds, 1.2):
            projection.weight[start + marker, marker] = 2.0  # the product of equal markers is > 0


def _rotate(
    projection: Any, head: int, size: int, rate: Tensor, seconds: float, scale: float
) -> tuple[int, int]:
    """Let a head look at other seconds; returns the first rows of its queries and of its keys."""
    index, count = torch.arange(len(rate)), len(rate)
    queries, keys = head * size, projection.in_features + head * size
    for start, ahead in ((queries, seconds), (keys, 0.0)):
        rows = projection.weight[start : start + size]
        rows.zero_()
        cosine, sine = scale * (rate * ahead).cos(), scale * (rate * ahead).sin()
        rows[index, index], rows[index, index + count] = cosine, -sine
        rows[index + count, index], rows[index + count, index + count] = sine, cosine
    return queries, keys
