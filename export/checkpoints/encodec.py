"""EnCodec for checkpoints without a codec: from a Hugging Face folder or from Meta's own file."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from torch import Tensor
from transformers import BarkConfig, EncodecConfig

from bark_onnx.export.checkpoints.config_errors import wrap_config_errors
from bark_onnx.export.checkpoints.weight_files import check_tensors, read_pickle
from bark_onnx.export.checkpoints.weights import Weights, folder_weights, legacy_weight_norm_name
from bark_onnx.graphs.errors import CheckpointError
from bark_onnx.graphs.files.dataclass_json import SchemaError, from_json_dict, read_json, shown
from bark_onnx.graphs.files.hub import download, is_repository_id
from bark_onnx.graphs.ranges import Between

EXPECTED_CODEC = (
    "facebook/encodec_24khz, a Hugging Face folder of EnCodec 24 kHz or of Bark, "
    "or the file encodec_24khz-d7cc33bc.th"
)

_CONFIG_NAME = "config.json"
_HUB_FILES = [_CONFIG_NAME, "pytorch_model*.bin*", "model*.safetensors*"]
_24_KHZ = {
    "model_type": "encodec",
    "norm_type": "weight_norm",
    "use_causal_conv": True,
    "pad_mode": "reflect",
    "audio_channels": 1,
    "trim_right_ratio": 1.0,
    "sampling_rate": 24_000,
}
_PREFIXES = {"encodec": "", "bark": "codec_model."}
# The first and last convolution of `decoder.model` in Meta's file.
_FIRST = "decoder.model.0.conv.conv.weight_v"
_LAST = "decoder.model.15.conv.conv.weight_v"
_NORM_OF_48_KHZ = "decoder.model.0.conv.norm.weight"
_CODEBOOK = "quantizer.vq.layers.0._codebook.embed"
_BARK_BANDWIDTH = 6.0  # kbit/s: 8 codebooks of 10 bits, 75 times a second


_Width = Annotated[int, Between(1, 4096)]
_KernelSize = Annotated[int, Between(1, 64)]
_Factor = Annotated[int, Between(1, 16)]
_Layers = Annotated[int, Between(0, 8)]
_MAX_CHANNELS = 2048  # of a convolution; 512 in EnCodec 24 kHz


@dataclass(frozen=True)
class _Sizes:
    """Ranges of the sizes of an EnCodec, far beyond that of 24 kHz."""

    hidden_size: _Width
    codebook_dim: _Width
    codebook_size: Annotated[int, Between(2, 1 << 16)]
    num_filters: _Width
    num_residual_layers: _Layers
    num_lstm_layers: _Layers
    kernel_size: _KernelSize
    last_kernel_size: _KernelSize
    residual_kernel_size: _KernelSize
    dilation_growth_rate: _Factor
    compress: _Factor
    upsampling_ratios: tuple[_Factor, ...]
    target_bandwidths: tuple[Annotated[float, Between(0.1, 1000.0)], ...]


@dataclass(frozen=True)
class Codec:
    """An EnCodec on disk."""

    source: str  # as given
    config: Any  # EncodecConfig
    file: Path  # defines the sizes, for messages
    open_weights: Callable[[], Weights]


def open_codec(source: str) -> Codec:
    """Find an EnCodec and read its sizes.

    Args:
        source: Hugging Face folder of EnCodec or Bark, hub id, or Meta's .th file.

    Raises:
        CheckpointError: The codec cannot be found, or is not EnCodec 24 kHz.
    """
    path = Path(source)
    if path.is_file():
        return _open_file(source, path)
    if path.is_dir():
        return _open_folder(source, path)
    if is_repository_id(source):
        return _open_folder(source, download(source, _HUB_FILES, CheckpointError, option="--codec"))
    raise CheckpointError(f"{source}: no such codec; expected {EXPECTED_CODEC}")


def check_codec(config: Any, where: str) -> None:
    """Check that an `EncodecConfig` is EnCodec 24 kHz, with widths that fit in the memory.

    Raises:
        CheckpointError: A setting differs or is out of range; `where` is the prefix of its name.
    """
    for key, value in _24_KHZ.items():
        found = getattr(config, key, None)
        if found != value:
            raise CheckpointError(
                f"{where}{key} is {shown(found)}, expected {value!r}, as in EnCodec 24 kHz"
            )
    sizes = {field.name: getattr(config, field.name, None) for field in fields(_Sizes)}
    try:
        checked = from_json_dict(_Sizes, sizes)
    except SchemaError as error:
        raise CheckpointError(f"{where}{error}, as in EnCodec 24 kHz") from error
    count = len(checked.upsampling_ratios)
    channels = checked.num_filters << min(count, _MAX_CHANNELS)
    if not count or channels > _MAX_CHANNELS or not checked.target_bandwidths:
        raise CheckpointError(
            f"{where}num_filters is {checked.num_filters} with {count} upsampling_ratios and "
            f"{len(checked.target_bandwidths)} target_bandwidths, expected at least one of each "
            f"and at most {_MAX_CHANNELS} channels, as in EnCodec 24 kHz"
        )


def _open_folder(source: str, folder: Path) -> Codec:
    path = folder / _CONFIG_NAME
    if not path.is_file():
        raise CheckpointError(f"{folder}: no {_CONFIG_NAME}; expected {EXPECTED_CODEC}")
    data = read_json(path)
    kind = data.get("model_type")
    with wrap_config_errors(path):
        if kind == "bark":
            config, where = BarkConfig.from_dict(data).codec_config, f"{path}: codec_config."
        elif kind == "encodec":
            config, where = EncodecConfig.from_dict(data), f"{path}: "
        else:
            raise CheckpointError(
                f"{path}: model_type is {kind!r}, expected 'encodec' or 'bark'; "
                f"give {EXPECTED_CODEC}"
            )
    check_codec(config, where)
    return Codec(source, config, path, partial(folder_weights, folder, _PREFIXES[kind]))


def _open_file(source: str, path: Path) -> Codec:
    """Infer the sizes from three tensors; loading checks the others against them."""
    tensors = _read_file(path)
    if _NORM_OF_48_KHZ in tensors:
        raise CheckpointError(f"{path}: this is EnCodec 48 kHz; expected {EXPECTED_CODEC}")
    for name, rank in ((_FIRST, 3), (_LAST, 3), (_CODEBOOK, 2)):
        if name not in tensors or tensors[name].ndim != rank:
            raise CheckpointError(
                f"{path}: no tensor {name} of {rank} dimensions, so this is not EnCodec 24 kHz; "
                f"expected {EXPECTED_CODEC}"
            )
    config = EncodecConfig(
        hidden_size=tensors[_FIRST].shape[1],
        num_filters=tensors[_LAST].shape[1],
        codebook_size=tensors[_CODEBOOK].shape[0],
        target_bandwidths=[_BARK_BANDWIDTH],
    )
    return Codec(source, config, path, partial(_file_weights, path))


def _file_weights(path: Path) -> Weights:
    return Weights(_read_file(path), _names_in_file, path, "EnCodec 24 kHz")


def _read_file(path: Path) -> Mapping[str, Tensor]:
    # The file is small and may predate torch 1.6, in which case it cannot be mapped.
    return check_tensors(read_pickle(path, is_mapped=False), path)


def _names_in_file(name: str) -> tuple[str]:
    """Name in Meta's file of a tensor of transformers' `EncodecModel`.

    `encodec.modules` wraps each convolution twice, `EncodecDecoder` once; every third layer of the
    decoder is a transposed convolution.
    """
    name = legacy_weight_norm_name(name)
    name = re.sub(r"^(encoder|decoder)\.layers\.", r"\1.model.", name)
    name = re.sub(r"^(decoder\.model\.(?:3|6|9|12))\.conv\.", r"\1.convtr.convtr.", name)
    name = name.replace(".conv.", ".conv.conv.")
    name = re.sub(r"^(quantizer)\.(layers\.\d+)\.codebook\.", r"\1.vq.\2._codebook.", name)
    return (name,)
