"""Heads that start by looking at the right time, and heads that are taught where to look."""

import math

import numpy as np
import pytest
import torch
from transformers.models.bark.modeling_bark import BarkCoarseModel, BarkSemanticModel

from bark_onnx.export.demo import coarse, semantic, sizes, transformer
from bark_onnx.export.demo.corpus import Utterance
from bark_onnx.export.demo.text import open_tokenizer

TEXT = "Hello! It isn't 24."


def first_attention(model: torch.nn.Module, ids: int) -> torch.Tensor:
    """Attention (heads, positions, positions) of the first layer for random tokens."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, ids, (1, 400), generator=generator)
    with torch.no_grad():
        embedded = model.input_embeds_layer(tokens)
        return transformer.hidden_states_and_attention(model, embedded)[1][0][0].float()


@pytest.mark.parametrize("name", ["semantic", "coarse"])
def test_an_aligned_head_starts_by_reading_what_is_of_its_time(name: str) -> None:
    torch.manual_seed(0)
    if name == "semantic":
        module, read, ids = semantic, sizes.TEXT_LENGTH, sizes.SEMANTIC_VOCABULARY
        model = BarkSemanticModel(semantic.semantic_config(79))
    else:
        module, read, ids = coarse, sizes.COARSE_INPUT, sizes.COARSE_PAD
        model = BarkCoarseModel(coarse.coarse_config())
    transformer.init_weights(model)
    seconds = module.position_seconds()
    transformer.align(model, seconds, read, module._ALIGNED[:1], module._PERIODS)
    attention = first_attention(model, ids)[0, read + 20 : read + 200]
    assert attention[:, :read].sum(-1).min() > 0.95
    read_at = seconds[attention.argmax(-1)]
    assert (read_at - seconds[read + 20 : read + 200]).abs().median() < 0.05


def test_a_backward_head_starts_by_looking_back_in_its_own_region() -> None:
    torch.manual_seed(0)
    model = BarkSemanticModel(semantic.semantic_config(79))
    transformer.init_weights(model)
    seconds, read = semantic.position_seconds(), sizes.TEXT_LENGTH
    transformer.align(model, seconds, read, (), semantic._PERIODS, own_heads=((0, 1, -0.075),))
    attention = first_attention(model, sizes.SEMANTIC_VOCABULARY)[1]
    for rows in (slice(20, read), slice(read + 20, 400)):
        found = attention[rows].argmax(-1)
        assert ((found < read) == (rows.stop <= read)).all()
        behind = seconds[rows] - seconds[found]
        assert (behind - 0.075).abs().median() < 0.02


def test_attention_at_the_right_place_has_no_loss() -> None:
    places = torch.tensor([[1.0, math.nan, 3.0]])
    right = torch.eye(5)[[1, 0, 3]][None]
    near = torch.eye(5)[[2, 0, 3]][None]
    wrong = torch.eye(5)[[4, 0, 0]][None]
    losses = [transformer.attention_loss(each, places) for each in (right, near, wrong)]
    assert losses[0] == 0.0
    assert losses[1] == pytest.approx(0.25)  # half of exp(-1/2)
    assert losses[2] == pytest.approx(4.5)  # 3 letters away


def test_attention_loss_has_a_gradient_where_a_place_is_unknown() -> None:
    attention = torch.full((1, 3, 5), 0.2, requires_grad=True)
    transformer.attention_loss(attention, torch.tensor([[1.0, math.nan, 3.0]])).backward()
    assert attention.grad is not None
    assert attention.grad.isfinite().all()
    assert (attention.grad[0, 1] == 0).all()
    assert (attention.grad[0, 0] < 0).all()


def test_word_heads_are_taught_the_last_letter_of_the_word(tmp_path: object) -> None:
    # Hello!It isn't 24. without spaces: H0 o4 !5 I6 t7 i8 s9 n10 '11 t12 2 13 4 14 . 15
    places = np.array([math.nan, -0.4, 2.0, 6.0, 8.3, 10.2, 12.0, 13.2], np.float32)
    utterance = Utterance(TEXT, "slt", np.zeros(8, np.int16), places, np.zeros((8, 12), np.int16))
    letters, ends = semantic._places(open_tokenizer(tmp_path), utterance)
    np.testing.assert_array_equal(letters.numpy(), places)
    assert ends.tolist()[1:] == [4.0, 4.0, 7.0, 10.0, 10.0, 12.0, 14.0]
    assert math.isnan(ends[0])
