"""Bark models with every parameter drawn at random: for the demo, for tests and for benchmarks."""

import math

import torch
from torch import nn


def randomize(model: nn.Module, seed: int, *, logit_spread: float = 4.0) -> None:
    """Draw every parameter and codebook of a `BarkModel` anew.

    A freshly built model has LayerNorm weights of 1 and biases of 0, where a swapped tensor would
    go unseen. Here no two tensors are alike, activations keep their size from layer to layer, and
    logits spread so that the most probable token is clear.

    Args:
        model: changed in place.
        seed: of the draw.
        logit_spread: standard deviation of the logits.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(tensor: torch.Tensor, deviation: float, mean: float = 0.0) -> None:
        tensor.normal_(mean, deviation, generator=generator)

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "layernorm" in name:
                draw(parameter, 0.1, mean=1.0 if name.endswith("weight") else 0.0)
            elif name.startswith("codec_model."):
                _draw_codec(name, parameter, generator)
            elif "input_embeds_layers" in name or "lm_head" in name:
                # Fine embeddings double as heads.
                draw(parameter, logit_spread / math.sqrt(parameter.shape[-1]))
            elif "embeds_layer" in name:
                draw(parameter, 0.5)
            elif parameter.ndim == 1:
                draw(parameter, 0.1)
            else:
                draw(parameter, 1 / math.sqrt(parameter.shape[-1]))
        for name, buffer in model.named_buffers():
            if name.endswith("codebook.embed"):
                draw(buffer, 0.5)


def _draw_codec(name: str, parameter: torch.Tensor, generator: torch.Generator) -> None:
    """Weights whose audio neither vanishes nor leaves [-1, 1] by much."""
    if name.endswith(("original0", "weight_g")):
        parameter.uniform_(0.6, 1.2, generator=generator)
    elif parameter.ndim == 1:
        parameter.normal_(0.0, 0.02, generator=generator)
    else:
        parameter.normal_(0.0, 1 / math.sqrt(parameter[0].numel()), generator=generator)
