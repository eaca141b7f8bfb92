"""Losses are computed where the model is: a tensor left on the CPU would be an error there."""

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from torch import nn
from transformers.models.bark.modeling_bark import BarkCoarseModel, BarkFineModel, BarkSemanticModel

from bark_onnx.export.demo import coarse, codec_training, fine, oscillators, semantic, sizes
from bark_onnx.export.demo.corpus import Utterance
from bark_onnx.export.demo.sampler import Sampler
from bark_onnx.graphs.bundle.demo import DEMO, bundle_folder

FRAMES = 30
DEVICE = torch.device("meta")  # computes shapes, and refuses tensors of other devices


@pytest.fixture(autouse=True)
def _full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *_: nullcontext())  # unknown to the device


def utterance(tokens: int) -> Utterance:
    rng = np.random.default_rng(tokens)
    return Utterance(
        "hello there",
        "slt",
        rng.integers(0, sizes.SEMANTIC_VOCABULARY, tokens).astype(np.int16),
        np.linspace(0, 9, tokens).astype(np.float32),
        rng.integers(0, sizes.CODEBOOK_SIZE, (8, tokens * 3 // 2)).astype(np.int16),
    )


PAIRS = [(utterance(120), utterance(140)), (utterance(110), None)]


def assert_on_device(losses: dict[str, torch.Tensor]) -> None:
    torch.stack([*losses.values()]).sum().backward()
    assert {loss.device for loss in losses.values()} == {DEVICE}


def test_losses_of_the_semantic_model_follow_it_to_its_device() -> None:
    tokenizer = Tokenizer.from_file(str(bundle_folder(DEMO) / "tokenizer.json"))
    config = semantic.semantic_config(tokenizer.get_vocab_size())
    model = BarkSemanticModel(config).to(DEVICE)
    assert_on_device(semantic.semantic_losses(model, tokenizer, PAIRS))


def test_losses_of_the_coarse_model_follow_it_to_its_device() -> None:
    model = BarkCoarseModel(coarse.coarse_config()).to(DEVICE)
    assert_on_device(coarse.coarse_loss(model, PAIRS, torch.Generator().manual_seed(0)))


def test_losses_of_the_fine_model_follow_it_to_its_device() -> None:
    model = BarkFineModel(fine.fine_config()).to(DEVICE)
    sampler = Sampler([utterance(100 + it) for it in range(20)], 0.8)
    assert_on_device(fine.fine_loss(model, sampler, torch.Generator().manual_seed(0)))


class Tone(nn.Module):
    """Stands for the decoder, whose convolutions read lengths from tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, turns: torch.Tensor) -> torch.Tensor:
        return self.gain * turns.repeat_interleave(sizes.FRAME_SAMPLES, 1)


def test_losses_of_the_codec_follow_it_to_its_device() -> None:
    audio = torch.zeros(2, FRAMES * sizes.FRAME_SAMPLES)
    inputs, voicing = (torch.zeros(2, FRAMES),), torch.ones(2, FRAMES)
    decoder: Any = Tone().to(DEVICE)
    assert_on_device(codec_training.codec_losses(decoder, inputs, audio, voicing))


def test_oscillators_follow_their_input_to_its_device() -> None:
    shapes = (
        (2, oscillators.CHANNELS, FRAMES),
        (2, FRAMES),
        (2, FRAMES, 2 * oscillators.NOISES),
        (2, 1),
    )
    inputs = [torch.zeros(shape, device=DEVICE) for shape in shapes]
    assert oscillators.ideal_output(*inputs).device == DEVICE
