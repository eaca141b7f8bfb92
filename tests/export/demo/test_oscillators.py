"""The LSTM of the demo's decoder keeps the phase of a voice."""

import math

import pytest
import torch
from torch import nn

from bark_onnx.export.demo import features, oscillators


@pytest.fixture(scope="module")
def lstm() -> nn.LSTM:
    lstm = nn.LSTM(oscillators.CHANNELS, oscillators.CHANNELS)
    oscillators.set_lstm(lstm)
    return lstm


@pytest.fixture(scope="module")
def convolution() -> nn.Conv1d:
    convolution = nn.utils.parametrizations.weight_norm(
        nn.Conv1d(features.FEATURES, oscillators.CHANNELS, 7)
    )
    oscillators.set_convolution(convolution, mean_log2_hz=7.0)
    return convolution


def scaled_features(pitch_hz: float, frames: int) -> torch.Tensor:
    """Loud speech of one pitch after a quiet start, (1, FEATURES, frames)."""
    from bark_onnx.export.demo.quantizer import SCALES

    scaled = torch.zeros(1, features.FEATURES, frames)
    scaled[:, features.PITCH] = (math.log2(pitch_hz) - 7.0) * SCALES[features.PITCH]
    scaled[:, features.LEVEL, :20] = -4.0
    return scaled


@pytest.mark.parametrize("pitch_hz", [75.0, 98.0, 110.0, 131.0, 163.0, 196.0, 210.0])
def test_the_oscillators_follow_the_pitch(
    lstm: nn.LSTM, convolution: nn.Conv1d, pitch_hz: float
) -> None:
    with torch.no_grad():
        hidden = convolution(scaled_features(pitch_hz, 400))
        output = lstm(hidden.permute(2, 0, 1))[0][200:, 0]
    pairs = output[:, : 2 * oscillators.PITCHES].unflatten(1, (-1, 2)).sum(1)
    turns = torch.atan2(pairs[:, 1], pairs[:, 0]).diff() / (2 * math.pi)
    expected = pitch_hz / 75
    drift = ((turns - expected + 0.5) % 1 - 0.5).mean()
    assert abs(1200 * math.log2((expected + drift.item()) / expected)) < 12  # cents


def test_a_change_of_pitch_keeps_the_phase(lstm: nn.LSTM, convolution: nn.Conv1d) -> None:
    scaled = torch.cat([scaled_features(100.0, 200), scaled_features(140.0, 200)], 2)
    scaled[:, features.LEVEL, 200:] = 0.0
    with torch.no_grad():
        hidden = convolution(scaled)
        output = lstm(hidden.permute(2, 0, 1))[0][100:, 0]
    pairs = output[:, : 2 * oscillators.PITCHES].unflatten(1, (-1, 2)).sum(1)
    assert pairs.norm(dim=1).min() > 0.2


def test_silence_starts_the_oscillators(lstm: nn.LSTM, convolution: nn.Conv1d) -> None:
    with torch.no_grad():
        quiet = lstm(convolution(scaled_features(120.0, 60)).permute(2, 0, 1))[0][:, 0]
    assert quiet[40:, : 2 * oscillators.PITCHES].abs().max() > 0.1


def test_the_sources_of_noise_do_not_repeat(lstm: nn.LSTM) -> None:
    noise = oscillators.run_noise(lstm, 300)
    noise = noise - noise.mean(0)
    assert noise.std(0).min() > 0.1
    similar = nn.functional.cosine_similarity(noise[:-1, None], noise[None, 1:], dim=2)
    assert similar.tril(-20).abs().max() < 0.95


def test_the_known_phase_gives_what_the_lstm_gives(lstm: nn.LSTM, convolution: nn.Conv1d) -> None:
    """`ideal_output`, on which the decoder is trained, equals the output of the LSTM."""
    with torch.no_grad():
        hidden = convolution(scaled_features(120.0, 300))
        found = lstm(hidden.permute(2, 0, 1))[0].permute(1, 2, 0)
        pairs = found[:, : 2 * oscillators.PITCHES].unflatten(1, (-1, 2)).sum(1)
        turns = torch.atan2(pairs[:, 1], pairs[:, 0]) / (2 * math.pi)
        noise = found[:, 2 * oscillators.PITCHES : oscillators.PITCH].transpose(1, 2)
        amplitude = torch.tensor([[oscillators.voice_amplitude(lstm)]])
        expected = oscillators.ideal_output(hidden, turns, noise, amplitude)
    assert (found - expected)[..., 150:].abs().max() < 0.12
