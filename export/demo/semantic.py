"""Trains the semantic model: text and a voice to phones with their durations and pitch."""

from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import BarkSemanticConfig
from transformers.models.bark.modeling_bark import BarkSemanticModel

from bark_onnx.export.demo import corpus, features, sizes, transformer
from bark_onnx.export.demo.corpus import Utterance
from bark_onnx.export.demo.sampler import Sampler
from bark_onnx.export.demo.text import open_tokenizer
from bark_onnx.export.demo.training import Losses, Settings, train

_SETTINGS = Settings(steps=10_000, learning_rate=1.5e-3, weights=(("attention", 0.3),))
_BATCH = 10
_HISTORY_SHARE = 0.8
_LETTER_SCALE = 3.0
_CONTEXT = 536

# Heads that start by looking at the letters of about their time: layer, head, seconds ahead.
_ALIGNED = ((0, 0, 0.0), (1, 0, 0.0), (2, 0, 0.0), (3, 0, 0.0))
# Heads that start by looking one or a few letters back, or phones.
_BACKWARD = ((0, 1, -0.075), (0, 2, -0.15), (1, 1, -0.25))
_PERIODS = (0.15, 12.0)
# Heads that are taught to look at the letter that the next token is about, or at letters behind it:
# layer, head, letters behind.
_LETTER_HEADS = ((1, 0, 0), (1, 2, 1), (2, 0, 0), (2, 2, 2), (3, 0, 0))
# Heads that are taught to look at the last letter of its word, which knows all letters before it.
_WORD_HEADS = ((2, 1, 0), (3, 1, 0))
_LETTERS_PER_SECOND = 13.5


def semantic_config(vocabulary: int) -> BarkSemanticConfig:
    """Sizes of the semantic model."""
    return BarkSemanticConfig(
        block_size=_CONTEXT,
        input_vocab_size=sizes.padded(sizes.semantic_infer(vocabulary) + 1),
        output_vocab_size=sizes.padded(sizes.SEMANTIC_VOCABULARY + 1),
        **sizes.CAUSAL_MODEL,
    )


def train_semantic(work: Path) -> None:
    """Train the model and write semantic.pt in `work`."""
    torch.manual_seed(corpus.SEED)
    tokenizer = open_tokenizer(work)
    vocabulary = tokenizer.get_vocab_size()
    model = BarkSemanticModel(semantic_config(vocabulary))
    transformer.init_weights(model)
    transformer.align(
        model, position_seconds(), sizes.TEXT_LENGTH, _ALIGNED, _PERIODS, own_heads=_BACKWARD
    )
    with torch.no_grad():  # the letters must stand out from the history that is added to them
        model.input_embeds_layer.weight[sizes.TEXT_OFFSET :] *= _LETTER_SCALE
    transformer.share_parts(model.input_embeds_layer)
    transformer.share_parts(model.lm_head)
    sampler = Sampler(corpus.load(work, "train"), _HISTORY_SHARE)
    held_out = Sampler(corpus.load(work, "held_out"), _HISTORY_SHARE)

    def loss(generator: torch.Generator) -> Losses:
        return semantic_losses(model, tokenizer, sampler.draw(_BATCH, generator))

    def validate() -> Losses:
        generator = torch.Generator().manual_seed(0)
        batches = [held_out.draw(_BATCH, generator) for _ in range(8)]
        losses = [semantic_losses(model, tokenizer, pairs) for pairs in batches]
        return {key: torch.stack([each[key] for each in losses]).mean() for key in losses[0]}

    train("semantic", model, loss, _SETTINGS, work, validate=validate)


def position_seconds() -> Tensor:
    """Seconds of the speech that each position is about, roughly: letters have no fixed time."""
    letters = (torch.arange(sizes.TEXT_LENGTH) + 0.5) / _LETTERS_PER_SECOND
    tokens = torch.arange(_CONTEXT - sizes.TEXT_LENGTH) + 0.5
    return torch.cat([letters, tokens / sizes.TOKENS_PER_SECOND - features.LEAD_SECONDS])


def semantic_losses(
    model: BarkSemanticModel,
    tokenizer: Tokenizer,
    pairs: list[tuple[Utterance, Utterance | None]],
) -> Losses:
    """Losses of utterances after their voices.

    "tokens" is the mean negative log-likelihood of the tokens and of the end. "attention" measures
    whether the guided heads read: by itself, a causal model learns which words follow each other
    long before it learns to read.
    """
    length, end, vocabulary = sizes.TEXT_LENGTH, sizes.SEMANTIC_PAD, tokenizer.get_vocab_size()
    text = [text_ids(tokenizer, utterance.text) for utterance, _ in pairs]
    history = [[] if voice is None else voice.semantic[-length:].tolist() for _, voice in pairs]
    tokens = [utterance.semantic.tolist() for utterance, _ in pairs]
    embed = model.input_embeds_layer
    device = embed.weight.device
    prompt = embed(transformer.pad(text, sizes.text_pad(vocabulary), length).to(device)) + embed(
        transformer.pad(history, end, length).to(device)
    )
    infer = torch.full((len(pairs), 1), sizes.semantic_infer(vocabulary))
    entered = torch.cat([infer, transformer.pad(tokens, end)], 1).to(device)
    hidden, attention = transformer.hidden_states_and_attention(
        model, torch.cat([prompt, embed(entered)], 1)
    )
    targets = transformer.pad([[*row, end] for row in tokens], transformer.IGNORED).to(device)
    return {
        "tokens": transformer.token_loss(
            hidden[:, length:], model.lm_head.weight[: end + 1], targets
        ),
        "attention": _attention_loss(attention, [_places(tokenizer, each) for each, _ in pairs]),
    }


def _attention_loss(attention: list[Tensor], places: list[tuple[Tensor, Tensor]]) -> Tensor:
    length, losses = sizes.TEXT_LENGTH, []
    for heads, rows in zip((_LETTER_HEADS, _WORD_HEADS), zip(*places, strict=True), strict=True):
        padded = nn.utils.rnn.pad_sequence([*rows], True, torch.nan).to(attention[0].device)
        written = slice(length, length + padded.shape[1])
        losses += [
            transformer.attention_loss(attention[layer][:, head, written, :length], padded + behind)
            for layer, head, behind in heads
        ]
    return torch.stack(losses).mean()


def _places(tokenizer: Tokenizer, utterance: Utterance) -> tuple[Tensor, Tensor]:
    """Of each token: the place of its letter, and that of the last letter of its word."""
    words = tokenizer.encode(utterance.text, add_special_tokens=False).word_ids
    last = {word: index for index, word in enumerate(words[: sizes.TEXT_LENGTH])}
    letters = torch.from_numpy(utterance.places)
    index = (letters.nan_to_num() + 0.5).long().clamp(0, len(words) - 1)
    ends = torch.tensor([float(last[word]) for word in words])[index]
    return letters, torch.where(letters.isnan(), torch.nan, ends)


def text_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids of a text, as the semantic model reads them."""
    ids = tokenizer.encode(text, add_special_tokens=False).ids[: sizes.TEXT_LENGTH]
    return [sizes.TEXT_OFFSET + number for number in ids]
