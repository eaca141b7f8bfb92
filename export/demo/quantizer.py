"""Residual vector quantization of the features: eight codebooks by k-means."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bark_onnx.export.demo import features, sizes

_ITERATIONS = 12
_SAMPLE = 60_000  # frames for k-means

SCALES = torch.ones(features.FEATURES)
SCALES[features.LEVEL] = 0.5
SCALES[features.LEVEL + 25 : features.VOICING] = 0.4  # strengths
SCALES[features.PITCH] = 4.0


@dataclass(frozen=True)
class Quantizer:
    """Codebooks over scaled features, in which all columns matter alike."""

    mean: Tensor  # (FEATURES,)
    codebooks: Tensor  # (NUM_CODEBOOKS, CODEBOOK_SIZE, FEATURES), of scaled features

    def scale(self, values: Tensor) -> Tensor:
        """Scaled features (frames, FEATURES) of plain ones."""
        return (values - self.mean) * SCALES

    def encode(self, values: Tensor) -> Tensor:
        """Codes (NUM_CODEBOOKS, frames) of features (frames, FEATURES)."""
        residual = self.scale(values)
        codes = []
        for codebook in self.codebooks:
            codes.append(nearest(residual, codebook))
            residual = residual - codebook[codes[-1]]
        return torch.stack(codes)

    def decode(self, codes: Tensor) -> Tensor:
        """Scaled features (frames, FEATURES) of the codes of the first codebooks."""
        return sum(
            (codebook[row] for codebook, row in zip(self.codebooks, codes, strict=False)),
            start=torch.zeros(()),
        )


def fit(values: Tensor, seed: int) -> Quantizer:
    """Fit the codebooks to features (frames, FEATURES).

    The first codebook leaves the pitch to the second one.
    """
    generator = torch.Generator().manual_seed(seed)
    quantizer = Quantizer(values.mean(0), torch.empty(0))
    chosen = torch.randperm(len(values), generator=generator)[:_SAMPLE]
    residual = quantizer.scale(values[chosen])
    codebooks = []
    for index in range(sizes.NUM_CODEBOOKS):
        weights = torch.ones(features.FEATURES)
        weights[features.PITCH] = 0.0 if index == 0 else 1.0
        codebook = _k_means(residual, weights, generator)
        if index == 0:
            codebook[:, features.PITCH] = 0.0
        codebooks.append(codebook)
        residual = residual - codebook[nearest(residual, codebook)]
    return Quantizer(quantizer.mean, torch.stack(codebooks))


def nearest(values: Tensor, codebook: Tensor) -> Tensor:
    """Index of the nearest entry for each row, as `EncodecModel` finds it."""
    return (codebook.square().sum(1) - 2 * values @ codebook.T).argmin(1)


def _k_means(values: Tensor, weights: Tensor, generator: torch.Generator) -> Tensor:
    size = sizes.CODEBOOK_SIZE
    weighted = values * weights
    centers = weighted[torch.randperm(len(values), generator=generator)[:size]]
    for _ in range(_ITERATIONS):
        index = nearest(weighted, centers)
        count = torch.bincount(index, minlength=size)[:, None]
        means = torch.zeros_like(centers).index_add_(0, index, weighted) / count.clamp(min=1)
        spare = weighted[torch.randint(len(values), (size,), generator=generator)]
        centers = torch.where(count > 0, means, spare)
    index = nearest(weighted, centers)
    count = torch.bincount(index, minlength=size)[:, None]
    return torch.zeros(size, values.shape[1]).index_add_(0, index, values) / count.clamp(min=1)
