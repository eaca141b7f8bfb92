"""Reads the sizes of the four sub-models and checks them against the generation settings."""

import math
from collections.abc import Mapping
from typing import Any, cast

from bark_onnx.graphs.bundle.consistency import check_shapes
from bark_onnx.graphs.contract import STAGES, Stage
from bark_onnx.graphs.errors import CheckpointError
from bark_onnx.graphs.files.dataclass_json import SchemaError, from_json_dict
from bark_onnx.graphs.generation_config import GenerationSettings
from bark_onnx.graphs.shapes import ModelShapes

# Names in a configuration of the sizes of a graph.
_NAMES = {
    "head_size": "hidden_size / num_heads",
    "context_length": "block_size",
    "input_vocabulary": "input_vocab_size",
    "num_codebooks": "n_codes_total",
    "num_given_codebooks": "n_codes_given",
    "samples_per_frame": "the product of upsampling_ratios",
    "sample_rate_hz": "sampling_rate",
}


def read_shapes(
    config: Any, generation: GenerationSettings, files: Mapping[Stage, object]
) -> ModelShapes:
    """Read the sizes of a `BarkConfig`.

    Args:
        config: A `BarkConfig`.
        generation: Settings for which the sizes must suffice.
        files: Files that define the sizes of each stage, for messages.

    Raises:
        CheckpointError: A size is out of range, a stage is too small for the settings, or its heads
            do not fit its width.
    """
    configs = stage_configs(config)
    for stage in STAGES:
        if stage != "codec":
            _check_heads(configs[stage], files[stage])
        _check_outputs(stage, configs[stage], generation, files[stage])
    try:
        shapes = from_json_dict(ModelShapes, _sizes(configs, generation))
        check_shapes(shapes, generation)
    except SchemaError as error:
        part, _, size = error.key.partition(".")
        name, file = _NAMES.get(size, size), files[cast("Stage", part)]
        raise CheckpointError(
            f"{file}: {name} of the {part} stage {error.reason}; give a checkpoint of Bark"
        ) from error
    return shapes


def _sizes(configs: Mapping[Stage, Any], generation: GenerationSettings) -> dict[str, Any]:
    """The sizes in the form of bark.json, not checked yet."""
    fine, codec = configs["fine"], configs["codec"]
    tokens = generation.semantic.semantic_vocab_size
    return {
        "semantic": _causal_sizes(configs["semantic"], 0, tokens + 1),
        "coarse": _causal_sizes(
            configs["coarse"], tokens, configs["coarse"].output_vocab_size - tokens
        ),
        "fine": {
            **_transformer_sizes(fine),
            "num_codebooks": fine.n_codes_total,
            "num_given_codebooks": fine.n_codes_given,
            "num_logits": generation.codebook_size,
        },
        "codec": {
            "num_codebooks": generation.fine.n_fine_codebooks,
            "codebook_size": codec.codebook_size,
            "samples_per_frame": math.prod(codec.upsampling_ratios),
            "sample_rate_hz": codec.sampling_rate,
        },
    }


def stage_configs(config: Any) -> dict[Stage, Any]:
    """The part of a `BarkConfig` that describes each stage."""
    return {
        "semantic": config.semantic_config,
        "coarse": config.coarse_acoustics_config,
        "fine": config.fine_acoustics_config,
        "codec": config.codec_config,
    }


def _check_heads(config: Any, file: object) -> None:
    width, heads = config.hidden_size, config.num_heads
    if min(width, heads, config.num_layers) < 1 or width % heads:
        raise CheckpointError(
            f"{file}: {config.num_layers} layers of width {width} with {heads} heads; "
            "expected at least one of each, and a width that the heads divide"
        )


def _check_outputs(stage: Stage, config: Any, generation: GenerationSettings, file: object) -> None:
    """Check sizes that a bundle does not store: its graphs return only what can be sampled."""
    tokens, codes = generation.semantic.semantic_vocab_size, generation.codebook_size
    name, needed = {
        "semantic": ("output_vocab_size", tokens + 1),
        "coarse": ("output_vocab_size", tokens + generation.coarse.n_coarse_codebooks * codes),
        "fine": ("output_vocab_size", codes),
        "codec": ("num_quantizers", generation.fine.n_fine_codebooks),
    }[stage]
    found = getattr(config, name)
    if found < needed:
        raise CheckpointError(
            f"{file}: {name} of the {stage} stage is {found}, expected at least {needed} by its "
            "generation_config; give a checkpoint of Bark"
        )


def _causal_sizes(config: Any, first_logit_id: int, num_logits: int) -> dict[str, Any]:
    logits = {"first_logit_id": first_logit_id, "num_logits": num_logits}
    return _transformer_sizes(config) | logits


def _transformer_sizes(config: Any) -> dict[str, Any]:
    return {
        "num_layers": config.num_layers,
        "num_heads": config.num_heads,
        "head_size": config.hidden_size // config.num_heads,
        "context_length": config.block_size,
        "input_vocabulary": config.input_vocab_size,
    }
