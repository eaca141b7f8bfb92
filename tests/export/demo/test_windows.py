"""The coarse model is trained on the windows that Bark's loop forms."""

import numpy as np
import pytest
import torch
from transformers.models.bark.generation_configuration_bark import (
    BarkCoarseGenerationConfig,
    BarkSemanticGenerationConfig,
)
from transformers.models.bark.modeling_bark import BarkCoarseModel

from bark_onnx.export.demo import coarse, sizes
from bark_onnx.export.demo.corpus import Utterance


def utterance(tokens: int, seed: int) -> Utterance:
    rng = np.random.default_rng(seed)
    frames = tokens * sizes.FRAMES_PER_SECOND // sizes.TOKENS_PER_SECOND
    return Utterance(
        "",
        "slt",
        rng.integers(0, sizes.SEMANTIC_VOCABULARY, tokens).astype(np.int16),
        np.zeros(tokens, np.float32),
        rng.integers(0, sizes.CODEBOOK_SIZE, (sizes.NUM_CODEBOOKS, frames)).astype(np.int16),
    )


def windows_of_transformers(
    spoken: Utterance, voice: Utterance | None, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[list[int], list[int]]]:
    """Semantic and coarse ids at the start of each window of `BarkCoarseModel.generate`."""
    found: list[tuple[list[int], list[int]]] = []
    codes = iter(coarse.flatten(spoken))

    def generate(self: object, ids: torch.Tensor, **_: object) -> torch.Tensor:
        row = ids[0].tolist()
        found.append((row[: sizes.COARSE_INPUT], row[sizes.COARSE_INPUT + 1 :]))
        new = [next(codes, 0) for _ in range(sizes.COARSE_WINDOW)]
        return torch.cat([ids, torch.tensor([new])], 1)

    model = BarkCoarseModel(coarse.coarse_config())
    monkeypatch.setattr(BarkCoarseModel.__mro__[1], "generate", generate)
    config = sizes.generation_config(10)
    history = voice and {
        "semantic_prompt": torch.from_numpy(voice.semantic.astype(np.int64)),
        "coarse_prompt": torch.from_numpy(voice.codes[: sizes.NUM_COARSE].astype(np.int64)),
    }
    model.generate(
        torch.from_numpy(spoken.semantic.astype(np.int64))[None],
        semantic_generation_config=BarkSemanticGenerationConfig(**config["semantic_config"]),
        coarse_generation_config=BarkCoarseGenerationConfig(**config["coarse_acoustics_config"]),
        codebook_size=sizes.CODEBOOK_SIZE,
        history_prompt=history,
    )
    return found


@pytest.mark.parametrize("tokens", [40, 96, 200, 333])
@pytest.mark.parametrize("history", [None, 60, 81, 130])
def test_windows_equal_those_of_transformers(
    tokens: int, history: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken = utterance(tokens, 0)
    voice = None if history is None else utterance(history, 1)
    expected = windows_of_transformers(spoken, voice, monkeypatch)
    count = -(-len(coarse.flatten(spoken)) // sizes.COARSE_WINDOW)
    for index, (semantic, before) in enumerate(expected[:count]):
        ours, codes = coarse.window(spoken, voice, index)
        padded = ours + [sizes.COARSE_PAD] * (sizes.COARSE_INPUT - len(ours))
        assert padded == semantic
        assert codes[: len(before)] == before
        assert len(codes) <= len(before) + sizes.COARSE_WINDOW
