"""The fine transformer as a module that traces to one graph for all codebooks."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.onnx import ops

from bark_onnx.graphs.shapes import FineShape


class FineGraph(nn.Module):
    """Predicts one codebook of some frames from the codebooks up to and including it.

    The codebook is an input. Heads that equal the next codebook's embedding are stored once; other
    heads are stored in addition.

    Args:
        model: `BarkFineModel` of transformers.
        shape: Sizes of the model.
    """

    offsets: Tensor  # (codebooks,), first row of each codebook in the joined table

    def __init__(self, model: Any, shape: FineShape) -> None:
        super().__init__()
        self.shape = shape
        self.layers = model.layers
        self.layernorm_final = model.layernorm_final
        self.positions = nn.Parameter(model.position_embeds_layer.weight.detach())
        embeddings = [layer.weight.detach() for layer in model.input_embeds_layers]
        self.embeddings = nn.Parameter(torch.stack(embeddings))  # (codebooks, vocabulary, hidden)
        heads = [head.weight.detach() for head in model.lm_heads]
        given = shape.num_given_codebooks
        tied = all(
            torch.equal(head, row) for head, row in zip(heads, embeddings[given:], strict=True)
        )
        self.heads = None if tied else nn.Parameter(torch.stack(heads))
        self.register_buffer(
            "offsets", torch.arange(shape.num_codebooks) * shape.input_vocabulary, persistent=False
        )

    def forward(
        self,
        codes: Tensor,  # (batch, frames, codebooks)
        codebook_index: Tensor,  # ()
        frame_indices: Tensor,  # (read_frames,)
    ) -> Tensor:
        """Logits (batch, read_frames, num_logits)."""
        hidden = self._embed(codes, codebook_index)
        size = self.shape.num_heads * self.shape.head_size
        for layer, block in enumerate(self.layers):
            queries, keys, values = block.attn.att_proj(block.layernorm_1(hidden)).split(size, 2)
            if layer == len(self.layers) - 1:
                # Only these frames are read from here on.
                queries = queries.index_select(1, frame_indices)
                hidden = hidden.index_select(1, frame_indices)
            attended = ops.attention(
                queries,
                keys,
                values,
                q_num_heads=self.shape.num_heads,
                kv_num_heads=self.shape.num_heads,
            )[0]
            hidden = hidden + block.attn.out_proj(attended)
            hidden = hidden + block.mlp(block.layernorm_2(hidden))
        return self.layernorm_final(hidden) @ self._head(codebook_index).t()

    def _embed(self, codes: Tensor, codebook_index: Tensor) -> Tensor:
        """Sum the embeddings of codebooks 0 to codebook_index, plus positions."""
        table = self.embeddings.flatten(0, 1)
        rows = nn.functional.embedding(codes + self.offsets, table)
        known = torch.arange(self.shape.num_codebooks) <= codebook_index
        summed = (rows * known.to(rows.dtype)[:, None]).sum(2)
        return summed + self.positions[: codes.shape[1]]

    def _head(self, codebook_index: Tensor) -> Tensor:
        """Head of a codebook, (num_logits, hidden)."""
        if self.heads is None:
            head = self.embeddings.index_select(0, codebook_index.reshape(1))
        else:
            row = codebook_index.reshape(1) - self.shape.num_given_codebooks
            head = self.heads.index_select(0, row)
        return head[0, : self.shape.num_logits]
