"""Bark checkpoints with one sub-model in memory at a time, and the Hugging Face layout.

Knows nothing of ONNX.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import BarkConfig, EncodecModel
from transformers.models.bark.modeling_bark import (
    BarkCoarseModel,
    BarkFineModel,
    BarkPreTrainedModel,
    BarkSemanticModel,
)

from bark_onnx.export.checkpoints.config_errors import wrap_config_errors
from bark_onnx.export.checkpoints.encodec import check_codec
from bark_onnx.export.checkpoints.generation import GENERATION_NAME, read_generation
from bark_onnx.export.checkpoints.shapes import read_shapes, stage_configs
from bark_onnx.export.checkpoints.tokenizer import read_bark_tokenizer
from bark_onnx.export.checkpoints.weights import (
    Weights,
    folder_weights,
    is_mask,
    load_state,
)
from bark_onnx.graphs.contract import STAGES, Stage
from bark_onnx.graphs.errors import CheckpointError
from bark_onnx.graphs.files.dataclass_json import read_json
from bark_onnx.graphs.files.hub import download, is_repository_id
from bark_onnx.graphs.files.regular_file import is_folder
from bark_onnx.graphs.generation_config import GenerationSettings
from bark_onnx.graphs.shapes import ModelShapes

CONFIG_NAME = "config.json"

_PREFIXES: dict[Stage, str] = {
    "semantic": "semantic.",
    "coarse": "coarse_acoustics.",
    "fine": "fine_acoustics.",
    "codec": "codec_model.",
}
_HUB_FILES = [
    "*.json",
    "vocab.txt",
    "pytorch_model*.bin",
    "model*.safetensors",
    "speaker_embeddings/*",
]


@dataclass(frozen=True)
class Checkpoint:
    """A Bark checkpoint on disk, whose weights are read per sub-model."""

    source: str  # as given, with additions from elsewhere
    folder: Path
    config: Any  # BarkConfig
    shapes: ModelShapes
    generation: GenerationSettings
    open_weights: Callable[[Stage], Weights]
    read_tokenizer: Callable[[], Tokenizer]
    presets: Path | None = None  # folder of voices that replace the checkpoint's own

    @contextmanager
    def sub_model(self, stage: Stage) -> Iterator[nn.Module]:
        """Yield the transformers module of one stage, in evaluation mode and float32.

        Raises:
            CheckpointError: A tensor is missing or has another shape.
        """
        with wrap_config_errors(self.source):
            module = _build(stage, self.config)
        load_state(module, self.open_weights(stage), _IGNORED[stage])
        if stage == "fine":
            _tie_heads(module)
        yield module.eval().requires_grad_(False)

    def logit_ids(self, stage: Stage) -> Tensor:
        """Token ids whose logits the semantic or coarse graph returns, in order.

        transformers masks all others before sampling.
        """
        semantic = self.generation.semantic
        if stage == "semantic":
            tokens = torch.arange(semantic.semantic_vocab_size)
            return torch.cat([tokens, torch.tensor([semantic.semantic_pad_token])])
        return torch.arange(
            semantic.semantic_vocab_size, self.config.coarse_acoustics_config.output_vocab_size
        )


def open_checkpoint(source: str) -> Checkpoint:
    """Find a checkpoint and read its configuration.

    Args:
        source: Local folder in the Hugging Face layout, or hub id.

    Raises:
        CheckpointError: The checkpoint cannot be found, or is not Bark.
    """
    folder = _locate(source)
    config_path = folder / CONFIG_NAME
    config = _read_config(config_path)
    generation_path = folder / GENERATION_NAME
    generation = read_generation(read_json(generation_path), generation_path)
    with wrap_config_errors(config_path):
        shapes = read_shapes(config, generation, dict.fromkeys(STAGES, config_path))
    return Checkpoint(
        source,
        folder,
        config,
        shapes,
        generation,
        open_weights=lambda stage: folder_weights(folder, _PREFIXES[stage]),
        read_tokenizer=partial(read_bark_tokenizer, folder, generation),
    )


def _locate(source: str) -> Path:
    folder = Path(source)
    if is_folder(folder, CheckpointError):
        return folder
    if is_repository_id(source):
        return download(source, _HUB_FILES, CheckpointError)
    raise CheckpointError(
        f"{source}: no such folder; expected a hub id (suno/bark-small), a local folder with a "
        "Hugging Face checkpoint or with Suno's .pt files, demo, or random"
    )


def _read_config(path: Path) -> BarkConfig:
    data = read_json(path)
    if data.get("model_type") != "bark":
        raise CheckpointError(
            f"{path}: model_type is {data.get('model_type')!r}, expected 'bark'; "
            "give a Bark checkpoint such as suno/bark-small"
        )
    with wrap_config_errors(path):
        config = BarkConfig.from_dict(data)
    check_codec(config.codec_config, f"{path}: codec_config.")
    return config


def _is_tied_head(name: str) -> bool:
    return name.startswith("lm_heads.") or is_mask(name)


def _is_encoder(name: str) -> bool:
    """Whether only encoding or training uses a tensor of the codec."""
    return not (name.startswith("decoder.") or name.endswith(".codebook.embed"))


_IGNORED: dict[Stage, Callable[[str], bool]] = {
    "semantic": is_mask,
    "coarse": is_mask,
    "fine": _is_tied_head,
    "codec": _is_encoder,
}


def _build(stage: Stage, config: Any) -> Any:
    """Build a sub-model without weights; the codec, which is small, with arbitrary ones."""
    if stage == "codec":
        return EncodecModel(config.codec_config)
    classes = {"semantic": BarkSemanticModel, "coarse": BarkCoarseModel, "fine": BarkFineModel}
    part = stage_configs(config)[stage]
    with torch.device("meta"), skip_init():
        module: Any = classes[stage](part)
    length = part.block_size
    mask = torch.ones((1, 1, length, length), dtype=torch.bool).tril()
    for layer in module.layers:
        if layer.attn.is_causal:
            layer.attn.bias = mask
    return module


@contextmanager
def skip_init() -> Iterator[None]:
    """Build Bark modules without initializing weights that are replaced later.

    transformers 4.57 cannot initialize them: it expects every LayerNorm to have a bias.
    """
    with patch.object(BarkPreTrainedModel, "_init_weights", lambda self, module: None):
        yield


def _tie_heads(module: Any) -> None:
    """Set heads that a checkpoint does not store to the embeddings of the next codebook."""
    given = module.config.n_codes_given
    for index, head in enumerate(module.lm_heads):
        if head.weight.is_meta:
            head.weight = module.input_embeds_layers[index + given].weight
