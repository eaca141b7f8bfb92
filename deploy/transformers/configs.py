"""A bundle's sizes and settings as the configurations that a `BarkModel` has."""

import dataclasses
from typing import Any

from transformers import BarkConfig, EncodecConfig, GenerationConfig

from bark_onnx.graphs.contract import Stage
from bark_onnx.graphs.generation_config import GenerationSettings
from bark_onnx.graphs.shapes import CausalShape, FineShape, ModelShapes

# Parts of a generation_config, by stage.
CONFIG_NAMES: dict[Stage, str] = {
    "semantic": "semantic_config",
    "coarse": "coarse_acoustics_config",
    "fine": "fine_acoustics_config",
}


def model_config(shapes: ModelShapes) -> BarkConfig:
    """The sizes of the sub-models; what a bundle does not store has `BarkConfig`'s defaults."""
    fine, codec = shapes.fine, shapes.codec
    codebooks = {"n_codes_total": fine.num_codebooks, "n_codes_given": fine.num_given_codebooks}
    return BarkConfig(
        semantic_config=_causal(shapes.semantic),
        coarse_acoustics_config=_causal(shapes.coarse),
        fine_acoustics_config=_transformer(fine, fine.num_logits) | codebooks,
        codec_config=EncodecConfig(
            sampling_rate=codec.sample_rate_hz, codebook_size=codec.codebook_size
        ).to_dict(),
    )


def generation_settings(settings: GenerationSettings) -> dict[str, Any]:
    """Contents of the generation_config.json that the settings were read from."""
    parts = {}
    for stage, name in CONFIG_NAMES.items():
        part = dataclasses.asdict(getattr(settings, stage))
        parts[name] = part.pop("sampling", {}) | part
    semantic = parts[CONFIG_NAMES["semantic"]]
    semantic["eos_token_id"] = semantic.pop("semantic_pad_token")
    sizes = {"sample_rate": settings.sample_rate_hz, "codebook_size": settings.codebook_size}
    return {"model_type": "bark", **sizes, **parts}


def generation_config(settings: GenerationSettings) -> GenerationConfig:
    """The settings in the form that `BarkModel.from_pretrained` gives them: one dict per stage."""
    return GenerationConfig(**generation_settings(settings))


def _causal(shape: CausalShape) -> dict[str, Any]:
    return _transformer(shape, shape.first_logit_id + shape.num_logits)


def _transformer(shape: CausalShape | FineShape, output_vocabulary: int) -> dict[str, Any]:
    return {
        "num_layers": shape.num_layers,
        "num_heads": shape.num_heads,
        "hidden_size": shape.num_heads * shape.head_size,
        "block_size": shape.context_length,
        "input_vocab_size": shape.input_vocabulary,
        "output_vocab_size": output_vocabulary,
    }
