"""Codebooks by k-means, as `EncodecModel` uses them."""

import pytest
import torch

from bark_onnx.export.demo import codec, features, quantizer, sizes


@pytest.fixture(scope="module")
def values() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    clusters = torch.randn(700, features.FEATURES, generator=generator)
    index = torch.randint(700, (6_000,), generator=generator)
    values = clusters[index] + 0.1 * torch.randn(6_000, features.FEATURES, generator=generator)
    values[:, features.PITCH] = 7 + 0.3 * values[:, features.PITCH]
    return values


@pytest.fixture(scope="module")
def fitted(values: torch.Tensor) -> quantizer.Quantizer:
    return quantizer.fit(values, seed=0)


def test_each_codebook_comes_closer(values: torch.Tensor, fitted: quantizer.Quantizer) -> None:
    codes = fitted.encode(values)
    scaled = fitted.scale(values)
    errors = [
        (scaled - fitted.decode(codes[:count])).square().mean().item()
        for count in range(1, sizes.NUM_CODEBOOKS + 1)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.1 * errors[0]


def test_the_first_codebook_leaves_the_pitch_to_the_second(fitted: quantizer.Quantizer) -> None:
    assert not fitted.codebooks[0][:, features.PITCH].any()
    assert fitted.codebooks[1][:, features.PITCH].std() > 0.1


def test_the_codec_encodes_and_decodes_as_the_quantizer(
    values: torch.Tensor, fitted: quantizer.Quantizer
) -> None:
    model = codec.new_codec(fitted)
    scaled = fitted.scale(values[:200])
    codes = model.quantizer.encode(scaled.T[None], bandwidth=6.0)
    assert torch.equal(codes[:, 0], fitted.encode(values[:200]))
    torch.testing.assert_close(model.quantizer.decode(codes)[0].T, fitted.decode(codes[:, 0]))


def test_the_encoder_is_silent(fitted: quantizer.Quantizer) -> None:
    model = codec.new_codec(fitted)
    assert not model.encoder(torch.randn(1, 1, 3_200)).any()
