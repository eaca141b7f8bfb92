"""Reference of the parity tests: BarkModel of transformers on the same checkpoint."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import BarkModel

from bark_onnx.runtime import Voice

GREEDY = {"semantic_do_sample": False, "coarse_do_sample": False, "fine_temperature": None}


@dataclass(frozen=True)
class ReferenceSpeech:
    """Tokens of every stage and samples of one call of `BarkModel.generate`."""

    semantic_tokens: NDArray[np.int64]  # (n,), without the token that ends the utterance
    coarse_tokens: NDArray[np.int64]  # (2, frames)
    fine_tokens: NDArray[np.int64]  # (8, frames)
    samples: NDArray[np.float32]


class Reference:
    """`BarkModel.from_pretrained`, which keeps the tokens of every stage."""

    def __init__(self, checkpoint: Path) -> None:
        self.model = BarkModel.from_pretrained(checkpoint).float().eval()
        self._tokens: dict[str, torch.Tensor] = {}
        for name in ("semantic", "coarse_acoustics", "fine_acoustics"):
            self._watch(name)

    def generate(
        self, text_ids: NDArray[np.int64], voice: Voice | None = None, **kwargs: Any
    ) -> ReferenceSpeech:
        """Generate speech for token ids, padded to 256 as by the processor of transformers."""
        length = self.model.generation_config.semantic_config["max_input_semantic_length"]
        input_ids = np.zeros((1, max(length, len(text_ids))), np.int64)
        input_ids[0, : len(text_ids)] = text_ids
        mask = np.zeros_like(input_ids)
        mask[0, : len(text_ids)] = 1
        prompt = voice and {
            key: torch.tensor(getattr(voice, key))
            for key in ("semantic_prompt", "coarse_prompt", "fine_prompt")
        }
        samples = self.model.generate(
            torch.tensor(input_ids),
            attention_mask=torch.tensor(mask),
            history_prompt=prompt,
            **kwargs,
        )
        config = self.model.generation_config
        end = config.semantic_config["semantic_vocab_size"]
        semantic = self._tokens["semantic"][0].numpy()
        coarse = self._tokens["coarse_acoustics"][0].numpy().reshape(-1, 2).T
        return ReferenceSpeech(
            semantic[semantic < end],
            (coarse - end) % config.codebook_size,
            self._tokens["fine_acoustics"][0].numpy(),
            samples[0].numpy(),
        )

    @property
    def tokens(self) -> dict[str, torch.Tensor]:
        """Tokens of the last call by sub-model, with all rows of the batch."""
        return dict(self._tokens)

    def _watch(self, name: str) -> None:
        stage = getattr(self.model, name)
        generate = stage.generate

        def watched(*args: Any, **kwargs: Any) -> Any:
            tokens = generate(*args, **kwargs)
            first = tokens[0] if isinstance(tokens, tuple) else tokens  # with return_output_lengths
            self._tokens[name] = first.clone()
            return tokens

        stage.generate = watched
