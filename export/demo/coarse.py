"""Trains the coarse model: phones and a voice to the first two codebooks."""

from pathlib import Path

import torch
from torch import Tensor
from transformers import BarkCoarseConfig
from transformers.models.bark.modeling_bark import BarkCoarseModel

from bark_onnx.export.demo import corpus, features, sizes, transformer
from bark_onnx.export.demo.corpus import Utterance
from bark_onnx.export.demo.sampler import Sampler
from bark_onnx.export.demo.training import Losses, Settings, train

_SETTINGS = Settings(steps=4_500, learning_rate=1.2e-3, weights=(("pitch", 0.5),))
_BATCH = 12
_HISTORY_SHARE = 0.8
_RATIO = sizes.NUM_COARSE * sizes.FRAMES_PER_SECOND // sizes.TOKENS_PER_SECOND  # 3
_SEMANTIC_HISTORY = sizes.COARSE_HISTORY // _RATIO
_FIRST_CODE = sizes.SEMANTIC_VOCABULARY
_CONTEXT = 528

# Heads that start by looking at the semantic token of their time: layer, head, seconds ahead.
_ALIGNED = ((0, 0, 0.0), (0, 1, 0.06), (1, 0, -0.06), (1, 1, 0.1), (2, 0, 0.0))
_PERIODS = (0.08, 6.0)


def coarse_config() -> BarkCoarseConfig:
    """Sizes of the coarse model."""
    return BarkCoarseConfig(
        block_size=_CONTEXT,
        input_vocab_size=sizes.COARSE_IDS,
        output_vocab_size=sizes.COARSE_IDS,
        **sizes.CAUSAL_MODEL,
    )


def train_coarse(work: Path) -> None:
    """Train the model and write coarse.pt in `work`."""
    torch.manual_seed(corpus.SEED)
    model = BarkCoarseModel(coarse_config())
    transformer.init_weights(model)
    transformer.align(model, position_seconds(), sizes.COARSE_INPUT, _ALIGNED, _PERIODS)
    sampler = Sampler(corpus.load(work, "train"), _HISTORY_SHARE)
    held_out = Sampler(corpus.load(work, "held_out"), _HISTORY_SHARE)

    def loss(generator: torch.Generator) -> Losses:
        return coarse_loss(model, sampler.draw(_BATCH, generator), generator)

    def validate() -> Losses:
        generator = torch.Generator().manual_seed(0)
        losses = [coarse_loss(model, held_out.draw(_BATCH, generator), generator) for _ in range(8)]
        return {key: torch.stack([each[key] for each in losses]).mean() for key in losses[0]}

    train("coarse", model, loss, _SETTINGS, work, validate=validate)


def position_seconds() -> Tensor:
    """Seconds of the speech that each position of a window is about."""
    tokens = (torch.arange(sizes.COARSE_INPUT) + 0.5) / sizes.TOKENS_PER_SECOND
    frames = torch.arange(_CONTEXT - sizes.COARSE_INPUT) // sizes.NUM_COARSE
    return torch.cat([tokens, (frames + features.LOOKAHEAD) / sizes.FRAMES_PER_SECOND])


def coarse_loss(
    model: BarkCoarseModel,
    pairs: list[tuple[Utterance, Utterance | None]],
    generator: torch.Generator,
) -> Losses:
    """Mean negative log-likelihood of a window of each utterance, for each codebook."""
    windows = [
        window(utterance, voice, _random_window(utterance, generator)) for utterance, voice in pairs
    ]
    semantic = transformer.pad([w[0] for w in windows], sizes.COARSE_PAD, sizes.COARSE_INPUT)
    codes = transformer.pad([w[1] for w in windows], transformer.IGNORED)
    infer = torch.full((len(pairs), 1), sizes.COARSE_INFER)
    entered = torch.cat([semantic, infer, codes[:, :-1].clamp(min=0)], 1)
    embed, device = model.input_embeds_layer, model.lm_head.weight.device
    hidden = transformer.hidden_states(model, embed(entered.to(device)))
    hidden = hidden[:, sizes.COARSE_INPUT :]
    losses = {}
    for book, name in enumerate(("envelope", "pitch")):
        first = _FIRST_CODE + book * sizes.CODEBOOK_SIZE
        head = model.lm_head.weight[first : first + sizes.CODEBOOK_SIZE]
        targets = codes[:, book :: sizes.NUM_COARSE]
        targets = torch.where(targets < 0, targets, targets - first)
        outputs = hidden[:, book :: sizes.NUM_COARSE]
        losses[name] = transformer.token_loss(outputs, head, targets.to(device))
    return losses


def window(
    utterance: Utterance, voice: Utterance | None, index: int
) -> tuple[list[int], list[int]]:
    """Semantic tokens of a window, and the coarse ids before and in it, as Bark's loop forms it."""
    semantic, codes = utterance.semantic.tolist(), flatten(utterance)
    position, generated = index * sizes.COARSE_WINDOW // _RATIO, index * sizes.COARSE_WINDOW
    if voice is not None:
        kept = min(_SEMANTIC_HISTORY, len(voice.semantic) // 2 * 2)
        before = flatten(voice)[-kept * _RATIO :][: -sizes.NUM_COARSE]  # Bark drops the last frame
        semantic, codes = voice.semantic[-kept:].tolist() + semantic, before + codes
        position, generated = position + kept, generated + len(before)
    first = max(0, position - _SEMANTIC_HISTORY)
    start = max(0, generated - sizes.COARSE_HISTORY)
    return (
        semantic[first : first + sizes.COARSE_INPUT],
        codes[start : generated + sizes.COARSE_WINDOW],
    )


def flatten(utterance: Utterance) -> list[int]:
    """Ids of the coarse codes, frame by frame."""
    codes = utterance.codes[: sizes.NUM_COARSE].astype(int)
    codes = codes + [[_FIRST_CODE + book * sizes.CODEBOOK_SIZE] for book in range(len(codes))]
    return codes.T.flatten().tolist()


def _random_window(utterance: Utterance, generator: torch.Generator) -> int:
    codes = utterance.codes.shape[1] * sizes.NUM_COARSE
    return int(torch.randint(-(-codes // sizes.COARSE_WINDOW), (), generator=generator))
