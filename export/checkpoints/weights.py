"""The weights of a checkpoint by the names of modules, loaded into these as float32."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bark_onnx.export.checkpoints.weight_files import map_folder
from bark_onnx.graphs.errors import CheckpointError


def is_mask(name: str) -> bool:
    """Whether a tensor is a causal mask, a constant that old checkpoints store."""
    return name.endswith(".attn.bias")


@dataclass(frozen=True)
class Weights:
    """The tensors of one sub-model as a checkpoint stores them."""

    tensors: Mapping[str, Tensor]  # by the names of the checkpoint
    names: Callable[[str], Sequence[str]]  # a module's name to those in the checkpoint, best first
    where: object  # folder or file, for messages
    sizes: str  # source of the shapes, for messages
    is_exclusive: bool = False  # every tensor must belong to this sub-model


def load_state(module: nn.Module, weights: Weights, ignore: Callable[[str], bool]) -> None:
    """Load stored tensors into a module, as float32.

    Args:
        module: Module to change in place.
        weights: Stored tensors.
        ignore: Whether the tensor of a name may be missing.

    Raises:
        CheckpointError: A tensor is missing, has another shape or values that are not finite, or
            belongs to another model.
    """
    state: dict[str, Tensor] = {}
    read: set[str] = set()
    for name, ours in module.state_dict().items():
        stored = [other for other in weights.names(name) if other in weights.tensors]
        read.update(stored)
        if not stored:
            if ignore(name):
                continue
            raise CheckpointError(
                f"{weights.where}: tensor {weights.names(name)[0]} is missing; "
                "the checkpoint is incomplete, download it again"
            )
        if is_mask(name):
            continue
        tensor = weights.tensors[stored[0]]
        if tensor.shape != ours.shape:
            raise CheckpointError(
                f"{weights.where}: tensor {stored[0]} has shape {list(tensor.shape)}, "
                f"expected {list(ours.shape)} by {weights.sizes}; the two do not belong together"
            )
        state[name] = _checked(tensor, f"{weights.where}: tensor {stored[0]}")
    if weights.is_exclusive:
        _refuse_unknown(weights, read)
    module.load_state_dict(state, strict=False, assign=True)


def _checked(tensor: Tensor, where: str) -> Tensor:
    """A stored tensor as float32, with finite values only."""
    if not tensor.is_floating_point() or tensor.layout != torch.strided or tensor.is_meta:
        raise CheckpointError(
            f"{where} holds {tensor.dtype} ({tensor.layout}), expected floating-point values; "
            "download the checkpoint again"
        )
    tensor = tensor.to(torch.float32)
    bad = tensor.numel() - int(torch.isfinite(tensor).sum())
    if bad:
        raise CheckpointError(
            f"{where} holds NaN or infinity in {bad} of {tensor.numel()} places, expected finite "
            "values; the checkpoint is damaged, download it again"
        )
    return tensor


def _refuse_unknown(weights: Weights, read: set[str]) -> None:
    unknown = sorted(name for name in weights.tensors if name not in read and not is_mask(name))
    if unknown:
        raise CheckpointError(
            f"{weights.where}: tensor {unknown[0]} does not belong to the model described by "
            f"{weights.sizes}; the two do not belong together"
        )


def legacy_weight_norm_name(name: str) -> str:
    """Name of a tensor from before torch turned weight norm into a parametrization."""
    for new, old in (("original0", "weight_g"), ("original1", "weight_v")):
        name = name.replace(f"parametrizations.weight.{new}", old)
    return name


def folder_weights(folder: Path, prefix: str) -> Weights:
    """Tensors of one sub-model in the Hugging Face layout, mapped from disk."""

    def names(name: str) -> Sequence[str]:
        return prefix + name, legacy_weight_norm_name(prefix + name)

    return Weights(map_folder(folder), names, folder, "config.json")
