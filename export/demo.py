"""A tiny Bark with the real structure and random weights, written as a Hugging Face checkpoint.

It exists so that everything can be tried without a download. What it says is noise.
"""

import copy
import json
import string
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import save_model
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
from bark_onnx.export.randomize import randomize
from bark_onnx.graphs.errors import ExportError
from bark_onnx.graphs.voices.presets import VOICE_INDEX_NAME

DEMO = "demo"

_SEMANTIC = SUNO_GENERATION["semantic_config"]
_SEMANTIC_VOCABULARY = _SEMANTIC["semantic_vocab_size"]
_TEXT_OFFSET = _SEMANTIC["text_encoding_offset"]
_COARSE_VOCABULARY = 12_096
_CODEBOOK_SIZE = SUNO_GENERATION["codebook_size"]


@dataclass(frozen=True)
class RandomBark:
    """Sizes of a Bark checkpoint with random weights. The defaults are the demo's."""

    num_layers: int = 2
    num_heads: int = 2
    hidden_size: int = 64
    bias: bool = False
    text_vocabulary: int = 0  # 0: as many as the demo's own tokenizer has
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
    """A `BarkModel` in evaluation mode with every parameter random."""
    with skip_init():
        model = BarkModel(sizes.config()).eval()
    randomize(model, sizes.seed)
    return model


def write_checkpoint(folder: Path, sizes: RandomBark | None = None) -> None:
    """Write a complete checkpoint: weights, configurations, tokenizer and one voice.

    Args:
        folder: is made where it does not exist.
        sizes: of the model.
    """
    sizes = sizes or RandomBark()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        save_model(
            random_model(sizes), str(folder / "model.safetensors"), metadata={"format": "pt"}
        )
    except SafetensorError as error:  # it has no class of its own for a full disk
        raise ExportError(f"{folder}: the demo cannot be written ({error})") from error
    config = {**sizes.config().to_dict(), "architectures": ["BarkModel"]}
    _write_json(folder / CONFIG_NAME, config)
    _write_json(folder / GENERATION_NAME, sizes.generation_config())
    (folder / "vocab.txt").write_text("\n".join(_vocabulary()) + "\n", encoding="utf-8")
    _write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "model_max_length": 512},
    )
    _write_voice(folder, "v2/en_speaker_0", sizes.seed)


def _vocabulary() -> list[str]:
    """BERT's special tokens, then every printable ASCII character at the start of and in a word."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    characters = string.ascii_letters + string.digits
    return [*special, *string.punctuation, *characters, *(f"##{letter}" for letter in characters)]


def _write_voice(folder: Path, name: str, seed: int) -> None:
    """Four seconds of random tokens in the layout of Suno's speaker embeddings."""
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
    _write_json(folder / VOICE_INDEX_NAME, {"repo_or_path": DEMO, name: files})


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
