"""Converts a generation_config to the settings of a bundle; defaults of suno/bark."""

from dataclasses import fields
from typing import Any

from transformers.models.bark.generation_configuration_bark import (
    BarkCoarseGenerationConfig,
    BarkFineGenerationConfig,
    BarkSemanticGenerationConfig,
)

from bark_onnx.graphs.bundle.consistency import check_settings
from bark_onnx.graphs.errors import CheckpointError
from bark_onnx.graphs.files.dataclass_json import SchemaError, from_json_dict, shown
from bark_onnx.graphs.generation_config import (
    CoarseSettings,
    FineSettings,
    GenerationSettings,
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
# The defaults of `generate`, where a file has null or nothing.
_SAMPLING_OF_TRANSFORMERS = {"do_sample": False, "temperature": 1.0, "top_k": 50, "top_p": 1.0}

# Part and name in generation_config.json of settings that have another one in a bundle.
_PARTS = {
    "semantic": "semantic_config",
    "coarse": "coarse_acoustics_config",
    "fine": "fine_acoustics_config",
}
_NAMES = {"semantic_pad_token": "eos_token_id", "sample_rate_hz": "sample_rate"}
# Settings that transformers does not know, of checkpoints that differ from Suno's in them.
_OWN_SETTINGS = ("text_tokens_per_second", "segment_seconds")


def read_generation(data: dict[str, Any], where: object = GENERATION_NAME) -> GenerationSettings:
    """Read the contents of a generation_config.json.

    Settings that it lacks have the values of transformers' classes.

    Args:
        data: Contents of the file.
        where: Path of the file, for messages.

    Raises:
        CheckpointError: A setting has a wrong type or is out of range, or two do not fit each
            other.
    """
    try:
        semantic = _part(SemanticSettings, "semantic", data, BarkSemanticGenerationConfig())
        coarse = _part(CoarseSettings, "coarse", data, BarkCoarseGenerationConfig())
        fine = _part(FineSettings, "fine", data, BarkFineGenerationConfig())
        found = {
            "semantic": semantic,
            "coarse": coarse,
            "fine": fine,
            "codebook_size": data.get("codebook_size", SUNO_GENERATION["codebook_size"]),
            "sample_rate_hz": data.get("sample_rate", SUNO_GENERATION["sample_rate"]),
            **{name: data[name] for name in _OWN_SETTINGS if name in data},
        }
        settings = from_json_dict(GenerationSettings, found)
        check_settings(settings)
    except SchemaError as error:
        raise CheckpointError(
            f"{where}: {_name(error.key)} {error.reason}; correct the file, or download it again"
        ) from error
    return settings


def _part(settings: type, stage: str, data: dict[str, Any], defaults: Any) -> dict[str, Any]:
    """The settings of a stage: those of the file, otherwise the defaults of transformers."""
    stored = data.get(_PARTS[stage], {})
    if not isinstance(stored, dict):
        raise SchemaError(f"is {shown(stored)}, expected an object", stage)

    def value(name: str) -> Any:
        name = _NAMES.get(name, name)
        return stored.get(name, getattr(defaults, name))

    found = {
        field.name: value(field.name) for field in fields(settings) if field.name != "sampling"
    }
    if found.get("temperature", 1.0) is None:
        found["temperature"] = 1.0
    if settings is not FineSettings:
        found["sampling"] = {
            name: default if (given := value(name)) is None else given
            for name, default in _SAMPLING_OF_TRANSFORMERS.items()
        }
    return found


def _name(key: str) -> str:
    """Name in generation_config.json of a key of `GenerationSettings`."""
    parts = [_NAMES.get(part, part) for part in key.split(".") if part != "sampling"]
    return ".".join([_PARTS.get(parts[0], parts[0]), *parts[1:]])
