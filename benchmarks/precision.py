"""How far int8 and int4 are from fp32: with random weights, and with a small Bark that has learnt.

Random weights are the worst case: logits lie close together. A trained model is sure of most
tokens, so the same error changes fewer of them. The small model learns a made-up language in a few
minutes: each token has a few successors, and each codebook follows from the one before.
Prints a table; the last line is one JSON object.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import click
import numpy as np
import torch
from machine import describe_machine, peak_megabytes
from models import FOLDER, bundle_folder, export_checkpoint, size_option
from safetensors.torch import save_model
from torch import Tensor, nn
from transformers import BarkModel

from bark_onnx.export.precision_error import precision_error
from bark_onnx.export.random_bark import RandomBark, write_checkpoint
from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.bundle.manifest import PrecisionError
from bark_onnx.graphs.contract import CODEBOOK_INDEX, CODES, FRAME_INDICES, CausalStage
from bark_onnx.graphs.voices.voice import Tokens
from bark_onnx.runtime.inference.decoders.decoder import StepInput
from bark_onnx.runtime.inference.models import StageModels

_SIZES = RandomBark(num_layers=4, num_heads=4, hidden_size=256, codec={"num_filters": 4})
_WORDS = 512  # tokens of the made-up language
_CHANCES = np.array([0.62, 0.2, 0.1, 0.05, 0.02, 0.01])  # of a token's successors
_SEMANTIC_VOCABULARY, _CODEBOOK_SIZE, _CODEBOOKS = 10_000, 1024, 8
_PROMPT, _SPOKEN = 65, 120
_STEPS = range(_PROMPT, _PROMPT + _SPOKEN - 1)
_PRECISIONS = ("int8", "int4")


class Language:
    """A made-up language of tokens, codes included."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._successors = rng.integers(0, _WORDS, (_WORDS, len(_CHANCES)))
        self._next_book = rng.integers(0, _WORDS, (_CODEBOOKS, _WORDS))

    def words(self, rng: np.random.Generator, rows: int, length: int) -> Tokens:
        """Chains of tokens, (rows, length)."""
        tokens = np.zeros((rows, length), np.int64)
        tokens[:, 0] = rng.integers(0, _WORDS, rows)
        for index in range(1, length):
            choice = rng.choice(len(_CHANCES), rows, p=_CHANCES)
            tokens[:, index] = self._successors[tokens[:, index - 1], choice]
        return tokens

    def codes(self, rng: np.random.Generator, rows: int, frames: int) -> Tokens:
        """Codes (rows, frames, codebooks): each codebook follows from the one before, mostly."""
        books = [self.words(rng, rows, frames)]
        for table in self._next_book[1:]:
            noise = rng.integers(0, _WORDS, books[-1].shape)
            books.append(np.where(rng.random(noise.shape) < 0.9, table[books[-1]], noise))
        return np.stack(books, -1)

    def semantic(self, rng: np.random.Generator, rows: int) -> Tokens:
        """A prompt of words and what follows, (rows, _PROMPT + _SPOKEN)."""
        return self.words(rng, rows, _PROMPT + _SPOKEN)

    def coarse(self, rng: np.random.Generator, rows: int) -> Tokens:
        """Semantic tokens, then the first two codebooks in turn, as a coarse window has them."""
        heard = self.words(rng, rows, _PROMPT)
        first = self.codes(rng, rows, _SPOKEN // 2)[..., :2] + [0, _CODEBOOK_SIZE]
        return np.concatenate([heard, first.reshape(rows, -1) + _SEMANTIC_VOCABULARY], 1)


@click.command()
@size_option
@click.option("--steps", type=int, default=250, show_default=True, help="Of training, per stage.")
def main(size: str, steps: int) -> None:
    """Compare precisions on random weights and on a small trained model."""
    torch.manual_seed(0)
    random = Bundle(bundle_folder(size, _PRECISIONS, verify=True)).manifest
    found = {
        f"random {name}": error
        for name, error in random.precision_errors.items()
        if name.split("/")[0] in _PRECISIONS
    }
    language = Language(0)
    stages = _train(FOLDER / "trained-checkpoint", language, steps)
    bundle = export_checkpoint(FOLDER / "trained-checkpoint", FOLDER / "trained-onnx", _PRECISIONS)
    for stage, loss in stages.items():
        click.echo(f"trained {stage}: loss {loss:.2f} nats a token")
    found |= {f"trained {name}": error for name, error in _compare(Bundle(bundle), language)}
    for name, error in found.items():
        click.echo(f"{name:<22} {error}")
    result = {"machine": describe_machine(), "size": size, "steps": steps, "losses": stages}
    result |= {"peak_mb": peak_megabytes()}
    click.echo(json.dumps({**result, "errors": {n: asdict(e) for n, e in found.items()}}))


def _train(folder: Path, language: Language, steps: int) -> dict[str, float]:
    """Write a checkpoint that has learnt the language; losses of the three stages at the end."""
    shutil.rmtree(folder, ignore_errors=True)
    write_checkpoint(folder, _SIZES)
    model = BarkModel(_SIZES.config())
    rng = np.random.default_rng(1)

    def causal(stage: nn.Module, make: Callable[..., Tokens]) -> Callable[[], Tensor]:
        def loss() -> Tensor:
            tokens = torch.from_numpy(make(rng, 4))
            logits = stage(input_ids=tokens[:, :-1]).logits[:, _PROMPT - 1 :]
            return nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, _PROMPT:].flatten())

        return loss

    def fine() -> Tensor:
        codes = torch.from_numpy(language.codes(rng, 2, 256))
        book = int(rng.integers(2, _CODEBOOKS))
        logits = model.fine_acoustics(book, codes).logits
        return nn.functional.cross_entropy(logits.flatten(0, 1), codes[..., book].flatten())

    losses = {
        "semantic": _fit(model.semantic, causal(model.semantic, language.semantic), steps),
        "coarse": _fit(
            model.coarse_acoustics, causal(model.coarse_acoustics, language.coarse), steps
        ),
        "fine": _fit(model.fine_acoustics, fine, steps),
    }
    save_model(model.eval(), str(folder / "model.safetensors"), metadata={"format": "pt"})
    return losses


def _fit(stage: nn.Module, loss_of: Callable[[], Tensor], steps: int) -> float:
    """Train one stage; its loss, averaged over the last tenth."""
    optimizer = torch.optim.AdamW(stage.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    losses = []
    started = time.monotonic()
    stage.train()
    for _ in range(steps):
        loss = loss_of()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    click.echo(f"{type(stage).__name__}: {time.monotonic() - started:.0f} s", err=True)
    return float(np.mean(losses[-max(1, steps // 10) :]))


def _compare(bundle: Bundle, language: Language) -> Iterator[tuple[str, PrecisionError]]:
    """Errors on sequences of the language that were not trained on."""
    settings = bundle.manifest.generation
    sequences = {
        "semantic": language.semantic(np.random.default_rng(2), 3),
        "coarse": language.coarse(np.random.default_rng(3), 3),
    }
    window = settings.fine.max_fine_input_length
    codes = language.codes(np.random.default_rng(4), 1, window)
    temperatures = {
        "semantic": settings.semantic.sampling.temperature,
        "coarse": settings.coarse.sampling.temperature,
        "fine": settings.fine.temperature,
    }
    logits: dict[str, dict[str, Any]] = {}
    for precision in ("fp32", *_PRECISIONS):
        models = StageModels(
            bundle,
            provider="cpu",
            precision=precision,
            threads=None,
            max_batch_size=1,
            low_memory=True,
        )
        logits[precision] = {
            stage: _causal_logits(models, stage, sequences[stage])
            for stage in get_args(CausalStage)
        }
        logits[precision]["fine"] = _fine_logits(models, codes)
    for precision in _PRECISIONS:
        for stage, temperature in temperatures.items():
            pair = (logits[precision][stage], logits["fp32"][stage])
            yield f"{precision}/{stage}", precision_error(*pair, temperature)


def _causal_logits(models: StageModels, stage: CausalStage, sequences: Tokens) -> Any:
    """Logits after the prompt and after each token that follows, (tokens, n)."""
    found = []
    with models.acquire(stage) as decoder:
        for sequence in sequences:
            found.append(decoder.prefill(0, StepInput(sequence[:_PROMPT], 0)).copy())
            found += [decoder.decode(sequence[i : i + 1])[0].copy() for i in _STEPS]
    return np.stack(found)


def _fine_logits(models: StageModels, codes: Tokens) -> Any:
    """Logits of the last codebook over one window, (frames, n)."""
    feeds = {
        CODES: codes,
        CODEBOOK_INDEX: np.array(_CODEBOOKS - 1),
        FRAME_INDICES: np.arange(codes.shape[1]),
    }
    with models.acquire("fine") as model:
        return model.session.run(None, feeds)[0][0]


if __name__ == "__main__":
    main()
