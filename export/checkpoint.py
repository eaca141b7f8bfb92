"""Bark checkpoints in the Hugging Face layout: configuration, and one sub-model at a time.

Knows folders and hub ids; knows nothing of ONNX.
"""

import math
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
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
    BarkSemanticModel,
)

from bark_onnx.export.files import read_json
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
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "tokenizer_config.json")

_PREFIXES: dict[Stage, str] = {
    "semantic": "semantic.",
    "coarse": "coarse_acoustics.",
    "fine": "fine_acoustics.",
    "codec": "codec_model.",
}
_WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
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
        with _open_weights(self.folder) as weights:
            _fill(module, weights, prefix, ignore=_IGNORED[stage])
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
    return Checkpoint(source, folder, config, _read_shapes(config, generation), generation)


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
    data = read_json(folder / "generation_config.json")
    semantic = BarkSemanticGenerationConfig(**data.get("semantic_config", {}))
    coarse = BarkCoarseGenerationConfig(**data.get("coarse_acoustics_config", {}))
    fine = BarkFineGenerationConfig(**data.get("fine_acoustics_config", {}))
    return GenerationSettings(
        semantic=SemanticSettings(
            sampling=_sampling(semantic),
            **_copied(SemanticSettings, semantic),
        ),
        coarse=CoarseSettings(sampling=_sampling(coarse), **_copied(CoarseSettings, coarse)),
        fine=FineSettings(
            temperature=1.0 if fine.temperature is None else float(fine.temperature),
            max_fine_history_length=fine.max_fine_history_length,
            max_fine_input_length=fine.max_fine_input_length,
            n_fine_codebooks=fine.n_fine_codebooks,
        ),
        codebook_size=data.get("codebook_size", 1024),
        sample_rate_hz=data.get("sample_rate", 24_000),
    )


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


def _is_mask(name: str) -> bool:
    """Causal masks lie in old checkpoints; they are constants."""
    return name.endswith(".attn.bias")


def _is_tied_head(name: str) -> bool:
    return name.startswith("lm_heads.") or _is_mask(name)


def _is_encoder(name: str) -> bool:
    """What only encoding audio needs, with the statistics of codebook training."""
    return not (name.startswith("decoder.") or name.endswith(".codebook.embed"))


_IGNORED: dict[Stage, Callable[[str], bool]] = {
    "semantic": _is_mask,
    "coarse": _is_mask,
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
    with torch.device("meta"):
        module: nn.Module = classes[stage](configs[stage])
    for layer in module.layers:
        if layer.attn.is_causal:
            length = configs[stage].block_size
            mask = torch.ones((length, length), dtype=torch.bool).tril()
            layer.attn.bias = mask.view(1, 1, length, length)
    return module


def _tie_heads(module: nn.Module) -> None:
    """Heads that a checkpoint does not store are the embeddings of the next codebook."""
    given = module.config.n_codes_given
    for index, head in enumerate(module.lm_heads):
        if head.weight.is_meta:
            head.weight = module.input_embeds_layers[index + given].weight


def _fill(
    module: nn.Module,
    weights: Mapping[str, Tensor],
    prefix: str,
    ignore: Callable[[str], bool],
) -> None:
    """Load the tensors of `weights` whose names begin with `prefix`.

    Names that `ignore` accepts may be missing.
    """
    expected = module.state_dict()
    state: dict[str, Tensor] = {}
    for name, ours in expected.items():
        found = _stored_name(weights, prefix + name)
        if found is None:
            if ignore(name):
                continue
            raise CheckpointError(
                f"tensor {prefix + name} is missing; "
                "the checkpoint is incomplete, download it again"
            )
        if _is_mask(name):
            continue
        tensor = weights[found]
        if tensor.shape != ours.shape:
            raise CheckpointError(
                f"tensor {found} has shape {list(tensor.shape)}, "
                f"{CONFIG_NAME} says {list(ours.shape)}; the two do not belong together"
            )
        state[name] = tensor.to(torch.float32)
    module.load_state_dict(state, strict=False, assign=True)


def _stored_name(weights: Mapping[str, Tensor], name: str) -> str | None:
    """The name under which a tensor is stored: old checkpoints name weight norm otherwise."""
    if name in weights:
        return name
    for new, old in (("original0", "weight_g"), ("original1", "weight_v")):
        former = name.replace(f"parametrizations.weight.{new}", old)
        if former in weights:
            return former
    return None


@contextmanager
def _open_weights(folder: Path) -> Iterator[Mapping[str, Tensor]]:
    """All tensors of a checkpoint by name, mapped from disk."""
    for name in _WEIGHT_FILES:
        index = folder / f"{name}.index.json"
        if index.is_file():
            files = sorted(set(read_json(index)["weight_map"].values()))
        elif (folder / name).is_file():
            files = [name]
        else:
            continue
        yield ChainMap(*(_map_file(folder / file) for file in files))  # type: ignore[arg-type]
        return
    raise CheckpointError(f"{folder}: no weights; expected {' or '.join(_WEIGHT_FILES)}")


def _map_file(path: Path) -> Mapping[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return _SafeTensors(path)
        return cast(
            "Mapping[str, Tensor]",
            torch.load(path, map_location="cpu", weights_only=True, mmap=True),
        )
    except (OSError, RuntimeError, ValueError, EOFError, SafetensorError, UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f"{path}: not readable as weights ({reason}); download it again"
        ) from error


class _SafeTensors(Mapping[str, Tensor]):
    """A safetensors file whose tensors are read when asked for."""

    def __init__(self, path: Path) -> None:
        self._file = safe_open(path, framework="pt")
        self._names = set(self._file.keys())

    def __getitem__(self, name: str) -> Tensor:
        return cast("Tensor", self._file.get_tensor(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names
