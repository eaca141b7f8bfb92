"""Bark checkpoints in the Hugging Face layout: configuration, and one sub-model at a time.

Knows folders and hub ids; knows nothing of ONNX.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from transformers import BarkConfig, EncodecModel
from transformers.models.bark.generation_configuration_bark import (
    BarkCoarseGenerationConfig,
    BarkFineGenerationConfig,
    BarkSemanticGenerationConfig,
)
from transformers.models.bark.modeling_bark import (
    BarkCoarseModel,
    BarkFineModel,
    BarkPreTrainedModel,
    BarkSemanticModel,
)

from bark_onnx.export.files import read_json
from bark_onnx.export.weights import fill, is_mask, open_weights
from bark_onnx.graphs.contract import Stage
from bark_onnx.graphs.errors import CheckpointError
from bark_onnx.graphs.hub import download, is_repository_id
from bark_onnx.graphs.settings import (
    CoarseSettings,
    FineSettings,
    GenerationSettings,
    Sampling,
    SemanticSettings,
)
from bark_onnx.graphs.shapes import CausalShape, CodecShape, FineShape, ModelShapes

CONFIG_NAME = "config.json"
VOICE_INDEX_NAME = "speaker_embeddings_path.json"

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
_TOP_K_OF_TRANSFORMERS = 50  # filled in by `generate` where a configuration has none


@dataclass(frozen=True)
class Checkpoint:
    """A Bark checkpoint on disk. Weights are read when a sub-model is asked for."""

    source: str  # what the user named
    folder: Path
    config: Any  # BarkConfig
    shapes: ModelShapes
    generation: GenerationSettings

    @contextmanager
    def sub_model(self, stage: Stage) -> Iterator[nn.Module]:
        """The transformers module of one stage, in evaluation mode and float32.

        Raises:
            CheckpointError: a tensor is missing or has another shape.
        """
        module = _build(stage, self.config)
        prefix = _PREFIXES[stage]
        with open_weights(self.folder) as weights:
            fill(module, weights, prefix, ignore=_IGNORED[stage])
        if stage == "fine":
            _tie_heads(module)
        yield module.eval().requires_grad_(False)

    def logit_ids(self, stage: Stage) -> Tensor:
        """Token ids whose logits the semantic or coarse graph puts out, in order.

        transformers masks all others before it looks, so they need not be computed.
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
        source: a local folder in the Hugging Face layout, or a hub id.

    Raises:
        CheckpointError: it cannot be found, or is not Bark.
    """
    folder = _locate(source)
    config = _read_config(folder)
    generation = _read_generation(folder)
    with _malformed_is_an_error(folder / CONFIG_NAME):
        shapes = _read_shapes(config, generation)
    return Checkpoint(source, folder, config, shapes, generation)


def _locate(source: str) -> Path:
    folder = Path(source)
    if folder.is_dir():
        return folder
    if is_repository_id(source):
        return download(source, _HUB_FILES, CheckpointError)
    raise CheckpointError(
        f"{source}: no such folder; expected a hub id (suno/bark-small), "
        "a local Hugging Face folder, or demo"
    )


def _read_config(folder: Path) -> BarkConfig:
    path = folder / CONFIG_NAME
    data = read_json(path)
    if data.get("model_type") != "bark":
        raise CheckpointError(
            f"{path}: model_type is {data.get('model_type')!r}, expected 'bark'; "
            "give a Bark checkpoint such as suno/bark-small"
        )
    with _malformed_is_an_error(path):
        config = BarkConfig.from_dict(data)
    codec = config.codec_config
    expected = {
        "model_type": "encodec",
        "norm_type": "weight_norm",
        "use_causal_conv": True,
        "pad_mode": "reflect",
        "audio_channels": 1,
        "trim_right_ratio": 1.0,
    }
    for key, value in expected.items():
        if getattr(codec, key) != value:
            raise CheckpointError(
                f"{path}: codec_config.{key} is {getattr(codec, key)!r}, expected {value!r}, "
                "as in EnCodec 24 kHz"
            )
    return config


def _read_generation(folder: Path) -> GenerationSettings:
    path = folder / "generation_config.json"
    data = read_json(path)
    with _malformed_is_an_error(path):
        semantic = BarkSemanticGenerationConfig(**data.get("semantic_config", {}))
        coarse = BarkCoarseGenerationConfig(**data.get("coarse_acoustics_config", {}))
        fine = BarkFineGenerationConfig(**data.get("fine_acoustics_config", {}))
        return GenerationSettings(
            semantic=SemanticSettings(
                sampling=_sampling(semantic), **_copied(SemanticSettings, semantic)
            ),
            coarse=CoarseSettings(sampling=_sampling(coarse), **_copied(CoarseSettings, coarse)),
            fine=FineSettings(
                temperature=1.0 if fine.temperature is None else float(fine.temperature),
                max_fine_history_length=int(fine.max_fine_history_length),
                max_fine_input_length=int(fine.max_fine_input_length),
                n_fine_codebooks=int(fine.n_fine_codebooks),
            ),
            codebook_size=_integer(data, "codebook_size", 1024),
            sample_rate_hz=_integer(data, "sample_rate", 24_000),
        )


@contextmanager
def _malformed_is_an_error(path: Path) -> Iterator[None]:
    """What configuration classes raise for a value of a wrong type, as one line."""
    from huggingface_hub.errors import StrictDataclassError

    try:
        yield
    except (TypeError, ValueError, AttributeError, StrictDataclassError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{path}: a setting is malformed ({reason})") from error


def _integer(data: dict[str, Any], key: str, default: int) -> int:
    value = data.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{key} is {value!r}, expected an integer")
    return value


def _sampling(config: Any) -> Sampling:
    return Sampling(
        do_sample=bool(config.do_sample),
        temperature=1.0 if config.temperature is None else float(config.temperature),
        top_k=_TOP_K_OF_TRANSFORMERS if config.top_k is None else int(config.top_k),
        top_p=1.0 if config.top_p is None else float(config.top_p),
    )


def _copied(settings: type, config: Any) -> dict[str, Any]:
    names = [name for name in settings.__annotations__ if name != "sampling"]
    return {name: settings.__annotations__[name](getattr(config, name)) for name in names}


def _read_shapes(config: Any, generation: GenerationSettings) -> ModelShapes:
    semantic, coarse = generation.semantic, generation.coarse
    fine, codec = config.fine_acoustics_config, config.codec_config
    coarse_outputs = config.coarse_acoustics_config.output_vocab_size
    shapes = ModelShapes(
        semantic=_causal_shape(config.semantic_config, 0, semantic.semantic_vocab_size + 1),
        coarse=_causal_shape(
            config.coarse_acoustics_config,
            semantic.semantic_vocab_size,
            coarse_outputs - semantic.semantic_vocab_size,
        ),
        fine=FineShape(
            num_layers=fine.num_layers,
            num_heads=fine.num_heads,
            head_size=fine.hidden_size // fine.num_heads,
            context_length=fine.block_size,
            input_vocabulary=fine.input_vocab_size,
            num_codebooks=fine.n_codes_total,
            num_given_codebooks=fine.n_codes_given,
            num_logits=generation.codebook_size,
        ),
        codec=CodecShape(
            num_codebooks=generation.fine.n_fine_codebooks,
            codebook_size=codec.codebook_size,
            samples_per_frame=math.prod(codec.upsampling_ratios),
            sample_rate_hz=codec.sampling_rate,
        ),
    )
    window = coarse.max_coarse_input_length + 1 + coarse.max_coarse_history
    for what, needed, shape in (
        ("semantic", semantic.prompt_length, shapes.semantic),
        ("coarse", window + coarse.sliding_window_len - 1, shapes.coarse),
        ("fine", generation.fine.max_fine_input_length, shapes.fine),
    ):
        if needed > shape.context_length:
            raise CheckpointError(
                f"the {what} stage needs {needed} positions by its generation_config, "
                f"its block_size is {shape.context_length}"
            )
    return shapes


def _causal_shape(config: Any, first_logit_id: int, num_logits: int) -> CausalShape:
    return CausalShape(
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        head_size=config.hidden_size // config.num_heads,
        context_length=config.block_size,
        input_vocabulary=config.input_vocab_size,
        first_logit_id=first_logit_id,
        num_logits=num_logits,
    )


def _is_tied_head(name: str) -> bool:
    return name.startswith("lm_heads.") or is_mask(name)


def _is_encoder(name: str) -> bool:
    """What only encoding audio needs, with the statistics of codebook training."""
    return not (name.startswith("decoder.") or name.endswith(".codebook.embed"))


_IGNORED: dict[Stage, Callable[[str], bool]] = {
    "semantic": is_mask,
    "coarse": is_mask,
    "fine": _is_tied_head,
    "codec": _is_encoder,
}


def _build(stage: Stage, config: Any) -> nn.Module:
    """A sub-model without weights; the codec, which is small, with arbitrary ones."""
    if stage == "codec":
        return EncodecModel(config.codec_config)
    classes = {"semantic": BarkSemanticModel, "coarse": BarkCoarseModel, "fine": BarkFineModel}
    configs = {
        "semantic": config.semantic_config,
        "coarse": config.coarse_acoustics_config,
        "fine": config.fine_acoustics_config,
    }
    with torch.device("meta"), uninitialised():
        module: nn.Module = classes[stage](configs[stage])
    for layer in module.layers:
        if layer.attn.is_causal:
            length = configs[stage].block_size
            mask = torch.ones((length, length), dtype=torch.bool).tril()
            layer.attn.bias = mask.view(1, 1, length, length)
    return module


@contextmanager
def uninitialised() -> Iterator[None]:
    """Build Bark modules without drawing weights that are replaced at once.

    transformers 4.57 cannot draw them: it expects every LayerNorm to have a bias.
    """
    with patch.object(BarkPreTrainedModel, "_init_weights", lambda self, module: None):
        yield


def _tie_heads(module: nn.Module) -> None:
    """Heads that a checkpoint does not store are the embeddings of the next codebook."""
    given = module.config.n_codes_given
    for index, head in enumerate(module.lm_heads):
        if head.weight.is_meta:
            head.weight = module.input_embeds_layers[index + given].weight
