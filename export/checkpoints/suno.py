"""Suno's own checkpoints: a folder with one .pt file each for text, coarse and fine."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import BarkCoarseConfig, BarkConfig, BarkFineConfig, BarkSemanticConfig

from bark_onnx.export.checkpoints.checkpoint import Checkpoint
from bark_onnx.export.checkpoints.config_errors import wrap_config_errors
from bark_onnx.export.checkpoints.encodec import EXPECTED_CODEC, Codec, open_codec
from bark_onnx.export.checkpoints.generation import SUNO_GENERATION, read_generation
from bark_onnx.export.checkpoints.shapes import read_shapes
from bark_onnx.export.checkpoints.suno_files import choose_files, parse_sizes
from bark_onnx.export.checkpoints.tokenizer import MULTILINGUAL, open_tokenizer
from bark_onnx.export.checkpoints.weight_files import check_tensors, read_pickle
from bark_onnx.export.checkpoints.weights import Weights
from bark_onnx.graphs.contract import Stage
from bark_onnx.graphs.errors import CheckpointError
from bark_onnx.graphs.files.dataclass_json import SchemaError, from_json_dict

_COMPILED = "_orig_mod."  # prefix of every name, from torch.compile
# Parts of tensor names in transformers and in Suno's files.
_PARTS = (
    (r"^layers\.", "transformer.h."),
    (r"^layernorm_final\.", "transformer.ln_f."),
    (r"^position_embeds_layer\.", "transformer.wpe."),
    (r"^input_embeds_layer\.", "transformer.wte."),
    (r"^input_embeds_layers\.", "transformer.wtes."),
    (r"\.layernorm_([12])\.", r".ln_\1."),
    (r"\.att_proj\.", ".c_attn."),
    (r"\.out_proj\.", ".c_proj."),
    (r"\.in_proj\.", ".c_fc."),
)


class _IgnoredScalar:
    """Replaces the numpy scalar of the validation loss, which is not used."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


_SAFE_GLOBALS = (
    (_IgnoredScalar, "numpy.dtype"),
    (_IgnoredScalar, "numpy.core.multiarray.scalar"),  # numpy 1, as in Suno's files
    (_IgnoredScalar, "numpy._core.multiarray.scalar"),
)


@dataclass(frozen=True)
class _GPTConfig:
    """model_args of a stage, with the defaults of Suno's class of this name."""

    n_layer: int
    n_head: int
    n_embd: int
    input_vocab_size: int
    output_vocab_size: int
    block_size: int = 1024
    bias: bool = True
    dropout: float = 0.0  # only used in training


@dataclass(frozen=True, kw_only=True)
class _FineGPTConfig(_GPTConfig):
    """model_args of the fine stage."""

    n_codes_total: int
    n_codes_given: int


def open_suno(
    source: str, *, codec: str | None, tokenizer: str | None = None, size: str | None = None
) -> Checkpoint:
    """Read the sizes of Suno's own checkpoint.

    Args:
        source: Folder with the .pt files.
        codec: Folder, file or hub id of EnCodec.
        tokenizer: Folder or hub id; None for the tokenizer that Bark was trained with.
        size: "small", "large", or sizes of single stages, as in "large,text=small"; None if only
            one size exists.

    Raises:
        CheckpointError: A file is missing, unreadable or of another kind, or the size is ambiguous.
    """
    folder = Path(source)
    files = choose_files(folder, parse_sizes(size))
    if codec is None:
        raise CheckpointError(
            f"{folder}: Suno's files lack EnCodec; give it with --codec: {EXPECTED_CODEC}"
        )
    encodec = open_codec(codec)
    generation = read_generation(SUNO_GENERATION)
    config = BarkConfig(
        semantic_config=_read_config(BarkSemanticConfig, files["semantic"]),
        coarse_acoustics_config=_read_config(BarkCoarseConfig, files["coarse"]),
        fine_acoustics_config=_read_config(BarkFineConfig, files["fine"]),
        codec_config=encodec.config.to_dict(),
    )
    return Checkpoint(
        f"{source} ({', '.join(file.name for file in files.values())}, EnCodec of {codec}, "
        "generation settings: the defaults of suno/bark)",
        folder,
        config,
        read_shapes(config, generation, {**files, "codec": encodec.file}),
        generation,
        open_weights=partial(_open_weights, files, encodec),
        read_tokenizer=partial(open_tokenizer, tokenizer or MULTILINGUAL, generation),
    )


def _read_file(path: Path) -> tuple[dict[str, Any], Mapping[str, Tensor]]:
    """Read model_args and the tensors of a .pt file, mapped from disk."""
    found = read_pickle(path, safe_globals=_SAFE_GLOBALS)
    arguments = found.get("model_args") if isinstance(found, dict) else None
    if not isinstance(arguments, dict) or "model" not in found:
        raise CheckpointError(
            f"{path}: found no model and model_args, expected Suno's own file; download it again"
        )
    tensors = check_tensors(found["model"], path)
    return arguments, {name.removeprefix(_COMPILED): tensors[name] for name in tensors}


def _read_config(config_class: type, path: Path) -> dict[str, Any]:
    """Convert model_args to the transformers configuration of one stage."""
    stored, _ = _read_file(path)
    vocabulary = stored.pop("vocab_size", None)
    if vocabulary is not None:
        stored = {"input_vocab_size": vocabulary, "output_vocab_size": vocabulary, **stored}
    is_fine = config_class is BarkFineConfig
    try:
        arguments = from_json_dict(_FineGPTConfig if is_fine else _GPTConfig, stored, "model_args")
    except SchemaError as error:
        raise CheckpointError(
            f"{path}: {error}; expected Suno's own {path.name}, download it again"
        ) from error
    sizes = asdict(arguments)
    for ours, theirs in (
        ("num_layers", "n_layer"),
        ("num_heads", "n_head"),
        ("hidden_size", "n_embd"),
    ):
        sizes[ours] = sizes.pop(theirs)
    with wrap_config_errors(path):
        return config_class(**sizes).to_dict()


def _open_weights(files: Mapping[Stage, Path], codec: Codec, stage: Stage) -> Weights:
    if stage == "codec":
        return codec.open_weights()
    _, tensors = _read_file(files[stage])
    return Weights(tensors, _suno_names, files[stage], "its model_args", is_exclusive=True)


def _suno_names(name: str) -> tuple[str]:
    """Suno's name of a tensor of transformers' modules; no tensor is transposed."""
    for theirs, sunos in _PARTS:
        name = re.sub(theirs, sunos, name)
    return (name,)
