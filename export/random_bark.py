"""Bark checkpoints with random weights, in the Hugging Face layout: for trials without a download.

The structure is that of Suno's checkpoints, the generated speech is noise.
"""

import copy
import json
import math
import string
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_model
from torch import nn
from transformers import (
    BarkCoarseConfig,
    BarkConfig,
    BarkFineConfig,
    BarkModel,
    BarkSemanticConfig,
    EncodecConfig,
)

from bark_onnx.export.checkpoints.checkpoint import CONFIG_NAME, skip_init
from bark_onnx.export.checkpoints.generation import GENERATION_NAME, SUNO_GENERATION
from bark_onnx.graphs.errors import ExportError
from bark_onnx.graphs.voices.presets import VOICE_INDEX_NAME

RANDOM = "random"

_SEMANTIC = SUNO_GENERATION["semantic_config"]
_SEMANTIC_VOCABULARY = _SEMANTIC["semantic_vocab_size"]
_TEXT_OFFSET = _SEMANTIC["text_encoding_offset"]
_COARSE_VOCABULARY = 12_096
_CODEBOOK_SIZE = SUNO_GENERATION["codebook_size"]


@dataclass(frozen=True)
class RandomBark:
    """Sizes of a Bark checkpoint with random weights. Tiny by default."""

    num_layers: int = 2
    num_heads: int = 2
    hidden_size: int = 64
    bias: bool = False
    text_vocabulary: int = 0  # entries of the tokenizer, the last ones unused; 0: those it needs
    codec: dict[str, Any] = field(default_factory=lambda: {"num_filters": 4, "hidden_size": 16})
    max_new_tokens: int = 150  # three seconds
    seed: int = 0

    def config(self) -> BarkConfig:
        """The transformers configuration."""
        size: dict[str, Any] = {
            "num_layers": self.num_layers,
            "num_heads": self.num_heads,
            "hidden_size": self.hidden_size,
            "bias": self.bias,
            "block_size": 1024,
        }
        return BarkConfig(
            semantic_config=BarkSemanticConfig(
                input_vocab_size=self._infer_token + 1, output_vocab_size=10_048, **size
            ).to_dict(),
            coarse_acoustics_config=BarkCoarseConfig(
                input_vocab_size=_COARSE_VOCABULARY, output_vocab_size=_COARSE_VOCABULARY, **size
            ).to_dict(),
            fine_acoustics_config=BarkFineConfig(
                input_vocab_size=1056, output_vocab_size=1056, **size
            ).to_dict(),
            codec_config=EncodecConfig(**self.codec).to_dict(),
        )

    @property
    def _text_pad_token(self) -> int:
        return _TEXT_OFFSET + (self.text_vocabulary or len(_vocabulary()))

    @property
    def _infer_token(self) -> int:
        return self._text_pad_token + 4

    def generation_config(self) -> dict[str, Any]:
        """Contents of generation_config.json, with Suno's sampling settings."""
        config = copy.deepcopy(SUNO_GENERATION)
        config["semantic_config"] |= {
            "max_new_tokens": self.max_new_tokens,
            "text_pad_token": self._text_pad_token,
            "semantic_infer_token": self._infer_token,
        }
        return config


def random_model(sizes: RandomBark) -> BarkModel:
    """Build a `BarkModel` in evaluation mode with random parameters."""
    with skip_init():
        model = BarkModel(sizes.config()).eval()
    randomize(model, sizes.seed)
    return model


def randomize(model: nn.Module, seed: int, *, logit_spread: float = 4.0) -> None:
    """Randomize every parameter and codebook of a `BarkModel`.

    A new model has LayerNorm weights of 1 and biases of 0, which would hide swapped tensors. Here
    all tensors differ, activations keep their size from layer to layer, and logits spread so that
    the most probable token is clear.

    Args:
        model: Model to change in place.
        seed: Seed of the random values.
        logit_spread: Standard deviation of the logits.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(tensor: torch.Tensor, deviation: float, mean: float = 0.0) -> None:
        tensor.normal_(mean, deviation, generator=generator)

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "layernorm" in name:
                draw(parameter, 0.1, mean=1.0 if name.endswith("weight") else 0.0)
            elif name.startswith("codec_model."):
                _draw_codec(name, parameter, generator)
            elif "input_embeds_layers" in name or "lm_head" in name:
                # Fine embeddings are also heads.
                draw(parameter, logit_spread / math.sqrt(parameter.shape[-1]))
            elif "embeds_layer" in name:
                draw(parameter, 0.5)
            elif parameter.ndim == 1:
                draw(parameter, 0.1)
            else:
                draw(parameter, 1 / math.sqrt(parameter.shape[-1]))
        for name, buffer in model.named_buffers():
            if name.endswith("codebook.embed"):
                draw(buffer, 0.5)


def _draw_codec(name: str, parameter: torch.Tensor, generator: torch.Generator) -> None:
    """Randomize a weight so that audio neither vanishes nor exceeds [-1, 1] by much."""
    if name.endswith(("original0", "weight_g")):
        parameter.uniform_(0.6, 1.2, generator=generator)
    elif parameter.ndim == 1:
        parameter.normal_(0.0, 0.02, generator=generator)
    else:
        parameter.normal_(0.0, 1 / math.sqrt(parameter[0].numel()), generator=generator)


def write_checkpoint(folder: Path, sizes: RandomBark | None = None) -> None:
    """Write a complete checkpoint: weights, configurations, tokenizer and one voice.

    Args:
        folder: Folder to write to, created if it does not exist.
        sizes: Sizes of the model; None for the defaults.

    Raises:
        ExportError: The folder cannot be written.
    """
    sizes = sizes or RandomBark()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        save_model(
            random_model(sizes), str(folder / "model.safetensors"), metadata={"format": "pt"}
        )
    except SafetensorError as error:  # safetensors has no class for a full disk
        raise ExportError(f"{folder}: the checkpoint cannot be written ({error})") from error
    config = {**sizes.config().to_dict(), "architectures": ["BarkModel"]}
    _write_json(folder / CONFIG_NAME, config)
    _write_json(folder / GENERATION_NAME, sizes.generation_config())
    vocabulary = _vocabulary()
    vocabulary += [f"[unused{it}]" for it in range(sizes.text_vocabulary - len(vocabulary))]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    _write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "model_max_length": 512},
    )
    _write_voice(folder, "v2/en_speaker_0", sizes.seed)


def _vocabulary() -> list[str]:
    """BERT's special tokens, then each printable ASCII character, at the start of and in a word."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    characters = string.ascii_letters + string.digits
    return [*special, *string.punctuation, *characters, *(f"##{letter}" for letter in characters)]


def _write_voice(folder: Path, name: str, seed: int) -> None:
    """Write four seconds of random tokens in the layout of Suno's speaker embeddings."""
    rng = np.random.default_rng(seed)
    fine = rng.integers(0, _CODEBOOK_SIZE, (8, 300))
    arrays = {
        "semantic_prompt": rng.integers(0, _SEMANTIC_VOCABULARY, 200),
        "coarse_prompt": fine[:2],
        "fine_prompt": fine,
    }
    files = {key: f"speaker_embeddings/{name}_{key}.npy" for key in arrays}
    for key, array in arrays.items():
        path = folder / files[key]
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, array)
    _write_json(folder / VOICE_INDEX_NAME, {"repo_or_path": RANDOM, name: files})


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
