"""Trains the fine model: the first two codebooks to the other six."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import BarkFineConfig
from transformers.models.bark.modeling_bark import BarkFineModel

from bark_onnx.export.demo import corpus, sizes, transformer
from bark_onnx.export.demo.sampler import Sampler
from bark_onnx.export.demo.training import Losses, Settings, train

_SETTINGS = Settings(steps=4_500, learning_rate=1.5e-3)
_BATCH = 12
_HISTORY_SHARE = 0.8
_UNKNOWN = sizes.CODEBOOK_SIZE


def fine_config() -> BarkFineConfig:
    """Sizes of the fine model."""
    return BarkFineConfig(
        block_size=sizes.FINE_INPUT,
        input_vocab_size=sizes.FINE_IDS,
        output_vocab_size=sizes.FINE_IDS,
        num_layers=3,
        num_heads=2,
        hidden_size=128,
        dropout=0.0,
        bias=True,
        n_codes_total=sizes.NUM_CODEBOOKS,
        n_codes_given=1,
    )


def train_fine(work: Path) -> None:
    """Train the model and write fine.pt in `work`."""
    torch.manual_seed(corpus.SEED)
    model = BarkFineModel(fine_config())
    transformer.init_weights(model)
    model.tie_weights()
    sampler = Sampler(corpus.load(work, "train"), _HISTORY_SHARE)
    held_out = Sampler(corpus.load(work, "held_out"), _HISTORY_SHARE)

    def loss(generator: torch.Generator) -> Losses:
        return fine_loss(model, sampler, generator)

    def validate() -> Losses:
        generator = torch.Generator().manual_seed(0)
        losses = [fine_loss(model, held_out, generator)["codes"] for _ in range(16)]
        return {"codes": torch.stack(losses).mean()}

    train("fine", model, loss, _SETTINGS, work, validate=validate)


def fine_loss(model: BarkFineModel, sampler: Sampler, generator: torch.Generator) -> Losses:
    """Mean negative log-likelihood of one codebook in windows as Bark's loop forms them.

    The loop knows this codebook in the frames before those that it fills.
    """
    book = int(torch.randint(sizes.NUM_COARSE, sizes.NUM_CODEBOOKS, (), generator=generator))
    rows = []
    for utterance, voice in sampler.draw(_BATCH, generator):
        parts = [] if voice is None else [voice.codes[:, -sizes.FINE_HISTORY :]]
        row = np.concatenate([*parts, utterance.codes], axis=1).astype(np.int64)
        last = max(1, row.shape[1] - sizes.FINE_INPUT + 1)
        start = int(torch.randint(last, (), generator=generator))
        row = row[:, start : start + sizes.FINE_INPUT]
        filled = sizes.FINE_INPUT - row.shape[1]
        rows.append(np.pad(row, ((0, 0), (0, filled)), constant_values=_UNKNOWN))
    codes = torch.from_numpy(np.stack(rows))  # (batch, codebooks, frames)
    known = torch.randint(0, sizes.FINE_HISTORY + 1, (len(rows), 1), generator=generator)
    is_known = torch.arange(sizes.FINE_INPUT) < known
    entered = codes[:, : book + 1].clone()
    entered[:, book] = torch.where(is_known, entered[:, book], _UNKNOWN)
    targets = torch.where(
        is_known | (codes[:, book] == _UNKNOWN), transformer.IGNORED, codes[:, book]
    )
    return {"codes": _loss(model, entered, targets, book)}


def _loss(model: Any, entered: Tensor, targets: Tensor, book: int) -> Tensor:
    layers = model.input_embeds_layers
    head = model.lm_heads[book - model.config.n_codes_given].weight
    entered, targets = entered.to(head.device), targets.to(head.device)
    embeddings = torch.stack([layers[i](entered[:, i]) for i in range(book + 1)]).sum(0)
    hidden = transformer.hidden_states(model, embeddings)
    return transformer.token_loss(hidden, head[: sizes.CODEBOOK_SIZE], targets)
