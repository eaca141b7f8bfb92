"""The semantic and coarse transformers as modules that trace to one small graph each.

The module uses the weights of the transformers sub-model and expresses attention as the standard
ONNX operator with a cache that grows; a pass converts it to the fused form.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.onnx import ops

from bark_onnx.graphs.shapes import CausalShape


class CausalGraph(nn.Module):
    """One run of a causal Bark transformer: tokens and cache in, last logits and cache out.

    Args:
        model: `BarkSemanticModel` or `BarkCoarseModel` of transformers.
        shape: Sizes of the model.
        logit_ids: Token ids whose rows of the head are kept, in order.
        with_history: Whether the embeddings of second ids are added; the id
            `shape.input_vocabulary` adds nothing.
    """

    def __init__(
        self, model: Any, shape: CausalShape, logit_ids: Tensor, *, with_history: bool
    ) -> None:
        super().__init__()
        self.shape = shape
        self.layers = model.layers
        self.layernorm_final = model.layernorm_final
        self.positions = model.position_embeds_layer
        embeddings = model.input_embeds_layer.weight.detach()
        if with_history:
            embeddings = torch.cat([embeddings, embeddings.new_zeros(1, embeddings.shape[1])])
        self.embeddings = nn.Embedding.from_pretrained(embeddings)
        head = model.lm_head.weight.detach()[logit_ids]
        self.head = nn.Linear(head.shape[1], head.shape[0], bias=False)
        self.head.weight = nn.Parameter(head)

    def forward(
        self,
        input_ids: Tensor,  # (batch, sequence)
        history_ids: Tensor | None,  # (batch, sequence)
        position_ids: Tensor,  # (batch, sequence)
        past: list[Tensor],  # key and value of each layer, (batch, heads, past, head_size)
    ) -> tuple[Tensor, ...]:
        """Logits (batch, num_logits) of the last position, then each layer's key and value."""
        hidden = self.embeddings(input_ids)
        if history_ids is not None:
            hidden = hidden + self.embeddings(history_ids)
        hidden = hidden + self.positions(position_ids)
        present: list[Tensor] = []
        for layer, block in enumerate(self.layers):
            attended, key, value = self._attend(
                block.attn.att_proj(block.layernorm_1(hidden)), *past[2 * layer : 2 * layer + 2]
            )
            present += [key, value]
            if layer == len(self.layers) - 1:
                # Only the last position is read from here on.
                hidden, attended = hidden[:, -1:], attended[:, -1:]
            hidden = hidden + block.attn.out_proj(attended)
            hidden = hidden + block.mlp(block.layernorm_2(hidden))
        return self.head(self.layernorm_final(hidden)).squeeze(1), *present

    def _attend(self, projected: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        heads = self.shape.num_heads
        queries, keys, values = projected.split(heads * self.shape.head_size, dim=2)
        attended, key, value, _ = ops.attention(
            queries,
            keys,
            values,
            None,
            key,
            value,
            is_causal=True,
            q_num_heads=heads,
            kv_num_heads=heads,
        )
        return attended, key, value
