"""Converts a generation_config to the settings of a bundle; defaults of suno/bark."""

from typing import Any

from transformers.models.bark.generation_configuration_bark import (
    BarkCoarseGenerationConfig,
    BarkFineGenerationConfig,
    BarkSemanticGenerationConfig,
)

from bark_onnx.graphs.generation_config import (
    CoarseSettings,
    FineSettings,
    GenerationSettings,
    Sampling,
    SemanticSettings,
)

GENERATION_NAME = "generation_config.json"

_SAMPLING = {"do_sample": True, "temperature": 0.7, "top_k": 50, "top_p": 1.0}
# The file of suno/bark and suno/bark-small; also used for Suno's .pt files, which have none.
SUNO_GENERATION: dict[str, Any] = {
    "model_type": "bark",
    "sample_rate": 24_000,
    "codebook_size": 1024,
    "semantic_config": {
        **_SAMPLING,
        "eos_token_id": 10_000,
        "max_new_tokens": 768,
        "text_encoding_offset": 10_048,
        "text_pad_token": 129_595,
        "semantic_infer_token": 129_599,
        "semantic_vocab_size": 10_000,
        "max_input_semantic_length": 256,
        "semantic_rate_hz": 49.9,
    },
    "coarse_acoustics_config": {
        **_SAMPLING,
        "coarse_semantic_pad_token": 12_048,
        "coarse_infer_token": 12_050,
        "coarse_rate_hz": 75,
        "n_coarse_codebooks": 2,
        "max_coarse_input_length": 256,
        "max_coarse_history": 630,
        "sliding_window_len": 60,
    },
    "fine_acoustics_config": {
        "temperature": 0.5,
        "max_fine_history_length": 512,
        "max_fine_input_length": 1024,
        "n_fine_codebooks": 8,
    },
}
_TOP_K_OF_TRANSFORMERS = 50  # the default of `generate`


def read_generation(data: dict[str, Any]) -> GenerationSettings:
    """Read the contents of a generation_config.json.

    Raises:
        TypeError, ValueError, AttributeError: A value has a wrong type.
    """
    semantic = BarkSemanticGenerationConfig(**data.get("semantic_config", {}))
    coarse = BarkCoarseGenerationConfig(**data.get("coarse_acoustics_config", {}))
    fine = BarkFineGenerationConfig(**data.get("fine_acoustics_config", {}))
    return GenerationSettings(
        semantic=SemanticSettings(
            sampling=_sampling(semantic), **_common_fields(SemanticSettings, semantic)
        ),
        coarse=CoarseSettings(sampling=_sampling(coarse), **_common_fields(CoarseSettings, coarse)),
        fine=FineSettings(
            temperature=1.0 if fine.temperature is None else float(fine.temperature),
            max_fine_history_length=int(fine.max_fine_history_length),
            max_fine_input_length=int(fine.max_fine_input_length),
            n_fine_codebooks=int(fine.n_fine_codebooks),
        ),
        codebook_size=_integer(data, "codebook_size", 1024),
        sample_rate_hz=_integer(data, "sample_rate", 24_000),
    )


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


def _common_fields(settings: type, config: Any) -> dict[str, Any]:
    names = [name for name in settings.__annotations__ if name != "sampling"]
    return {name: settings.__annotations__[name](getattr(config, name)) for name in names}
