"""Reads the sizes of the four sub-models and checks them against the generation settings."""

import math
from collections.abc import Mapping
from typing import Any

from bark_onnx.graphs.contract import STAGES, Stage
from bark_onnx.graphs.errors import CheckpointError
from bark_onnx.graphs.generation_config import GenerationSettings
from bark_onnx.graphs.shapes import CausalShape, CodecShape, FineShape, ModelShapes


def read_shapes(
    config: Any, generation: GenerationSettings, files: Mapping[Stage, object]
) -> ModelShapes:
    """Read the sizes of a `BarkConfig`.

    Args:
        config: A `BarkConfig`.
        generation: Settings for which the sizes must suffice.
        files: Files that define the sizes of each stage, for messages.

    Raises:
        CheckpointError: A stage is too small for the settings, or its heads do not fit its width.
    """
    configs = stage_configs(config)
    for stage in ("semantic", "coarse", "fine"):
        _check_heads(configs[stage], files[stage])
    semantic, coarse = configs["semantic"], configs["coarse"]
    fine, codec = configs["fine"], configs["codec"]
    tokens = generation.semantic.semantic_vocab_size
    for stage in STAGES:
        _check_sizes(stage, configs[stage], generation, files[stage])
    return ModelShapes(
        semantic=_causal_shape(semantic, 0, tokens + 1),
        coarse=_causal_shape(coarse, tokens, coarse.output_vocab_size - tokens),
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


def _check_sizes(stage: Stage, config: Any, generation: GenerationSettings, file: object) -> None:
    for what, needed in _min_sizes(stage, generation).items():
        found = getattr(config, what)
        if found < needed:
            unit = "positions" if what == "block_size" else f"as {what}"
            raise CheckpointError(
                f"{file}: the {stage} stage needs {needed} {unit} by its generation_config, "
                f"its {what} is {found}"
            )


def _min_sizes(stage: Stage, generation: GenerationSettings) -> dict[str, int]:
    """Smallest valid sizes of a stage, by their names in the configuration."""
    semantic, coarse, fine = generation.semantic, generation.coarse, generation.fine
    tokens = semantic.semantic_vocab_size
    if stage == "semantic":
        return {
            "block_size": semantic.prompt_length,
            "input_vocab_size": 1
            + max(
                semantic.text_pad_token, semantic.semantic_infer_token, semantic.semantic_pad_token
            ),
            "output_vocab_size": tokens + 1,
        }
    if stage == "coarse":
        window = coarse.max_coarse_input_length + 1 + coarse.max_coarse_history
        codes = tokens + coarse.n_coarse_codebooks * generation.codebook_size
        return {
            "block_size": window + coarse.sliding_window_len - 1,
            "input_vocab_size": 1
            + max(codes - 1, coarse.coarse_infer_token, coarse.coarse_semantic_pad_token),
            "output_vocab_size": codes,
        }
    if stage == "fine":
        return {
            "block_size": fine.max_fine_input_length,
            "input_vocab_size": generation.codebook_size + 1,  # the last marks unknown codes
            "output_vocab_size": generation.codebook_size,
            "n_codes_total": fine.n_fine_codebooks,
        }
    return {"num_quantizers": fine.n_fine_codebooks, "codebook_size": generation.codebook_size}


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
