"""Suno's own checkpoints: a folder with one .pt file for text, coarse and fine, small or large.

Knows nothing of EnCodec, whose weights are not among them.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
from bark_onnx.export.checkpoints.weights import Weights, check_tensors, read_pickle
from bark_onnx.graphs.bundle.dataclass_json import SchemaError, from_json_dict
from bark_onnx.graphs.contract import Stage
from bark_onnx.graphs.errors import CheckpointError

_COMPILED = "_orig_mod."  # torch.compile puts it before every name
# Parts of names as transformers has them, and as Suno does.
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


class _LazyTensor:
    """Takes the place of numpy's scalar of the validation loss, which nobody asks for."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


_STAND_INS = (
    (_LazyTensor, "numpy.dtype"),
    (_LazyTensor, "numpy.core.multiarray.scalar"),  # numpy 1, as in Suno's files
    (_LazyTensor, "numpy._core.multiarray.scalar"),
)


@dataclass(frozen=True)
class _ModelArgs:
    """model_args of a transformer, with the defaults of Suno's `GPTConfig`."""

    n_layer: int
    n_head: int
    n_embd: int
    input_vocab_size: int
    output_vocab_size: int
    block_size: int = 1024
    bias: bool = True
    dropout: float = 0.0  # of training


@dataclass(frozen=True, kw_only=True)
class _FineModelArgs(_ModelArgs):
    """model_args of the fine transformer, which no other stage has all of."""

    n_codes_total: int
    n_codes_given: int


def open_suno(
    source: str, *, codec: str | None, tokenizer: str | None = None, size: str | None = None
) -> Checkpoint:
    """Read the sizes of Suno's own checkpoint.

    Args:
        source: the folder with the .pt files.
        codec: EnCodec's folder, file or hub id.
        tokenizer: a folder or hub id; None is the one that Bark was trained with.
        size: "small", "large", or sizes of single stages, as in "large,text=small"; None takes
            what is there.

    Raises:
        CheckpointError: a file is missing, unreadable or something else, or the choice of sizes is
            not clear.
    """
    folder = Path(source)
    files = choose_files(folder, parse_sizes(size))
    if codec is None:
        raise CheckpointError(
            f"{folder}: Suno's files lack EnCodec; name it with --codec: {EXPECTED_CODEC}"
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
    """model_args and the tensors of a .pt file, mapped from disk; nothing else of it is read."""
    found = read_pickle(path, safe_globals=_STAND_INS)
    arguments = found.get("model_args") if isinstance(found, dict) else None
    if not isinstance(arguments, dict) or "model" not in found:
        raise CheckpointError(
            f"{path}: found no model and model_args, expected Suno's own file; download it again"
        )
    tensors = check_tensors(found["model"], path)
    return arguments, {name.removeprefix(_COMPILED): tensors[name] for name in tensors}


def _read_config(config_class: type, path: Path) -> dict[str, Any]:
    """model_args as the transformers configuration of one stage."""
    stored, _ = _read_file(path)
    vocabulary = stored.pop("vocab_size", None)
    if vocabulary is not None:
        stored = {"input_vocab_size": vocabulary, "output_vocab_size": vocabulary, **stored}
    is_fine = config_class is BarkFineConfig
    try:
        arguments = from_json_dict(_FineModelArgs if is_fine else _ModelArgs, stored, "model_args")
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


@contextmanager
def _open_weights(files: Mapping[Stage, Path], codec: Codec, stage: Stage) -> Iterator[Weights]:
    if stage == "codec":
        with codec.open_weights() as weights:
            yield weights
        return
    path = files[stage]
    _, tensors = _read_file(path)
    yield Weights(tensors, _suno_names, path, "its model_args", is_whole=True)


def _suno_names(name: str) -> tuple[str]:
    """Suno's name of a tensor of transformers' modules. None is transposed."""
    for theirs, sunos in _PARTS:
        name = re.sub(theirs, sunos, name)
    return (name,)
