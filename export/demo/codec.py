"""The codec of the demo: an EnCodec decoder that follows the phase of a voice."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from transformers import EncodecConfig, EncodecModel

from bark_onnx.export.demo import features, oscillators, sizes
from bark_onnx.export.demo.quantizer import Quantizer

_RATIOS = [8, 5, 4, 2]
_PULSES = 16  # channels of phase-shifted fundamentals behind the first upsampling


def codec_config() -> EncodecConfig:
    """EnCodec 24 kHz, with less of everything."""
    return EncodecConfig(
        hidden_size=features.FEATURES,
        codebook_dim=features.FEATURES,
        codebook_size=sizes.CODEBOOK_SIZE,
        num_filters=oscillators.CHANNELS // 2 ** len(_RATIOS),
        upsampling_ratios=_RATIOS,
        num_lstm_layers=1,
        target_bandwidths=[6.0],
    )


def new_codec(quantizer: Quantizer) -> EncodecModel:
    """A codec with the codebooks and the oscillators set, and convolutions to train.

    Bark has no use for the encoder. It is not trained, and its last convolution is zero.
    """
    model = EncodecModel(codec_config()).eval()
    first, lstm = model.decoder.layers[0].conv, model.decoder.layers[1].lstm
    oscillators.set_convolution(first, float(quantizer.mean[features.PITCH]))
    oscillators.set_lstm(lstm)
    _set_upsampling(model.decoder.layers[3].conv)
    _set_pulses(model.decoder.layers[4].block[1].conv)
    with torch.no_grad():
        for layer, codebook in zip(model.quantizer.layers, quantizer.codebooks, strict=True):
            layer.codebook.embed.copy_(codebook)
            layer.codebook.embed_avg.copy_(codebook)
        last = model.encoder.layers[-1].conv
        last.parametrizations.weight.original0.zero_()
        last.bias.zero_()
    return model


class Decoder(nn.Module):
    """The decoder of a codec in training: the phase comes from the teacher, not from the LSTM."""

    layers: Any

    def __init__(self, model: EncodecModel) -> None:
        super().__init__()
        self.layers = model.decoder.layers
        self._amplitude = oscillators.voice_amplitude(self.layers[1].lstm)
        fixed = [*self.layers[1].parameters(), *_last_scale(self.layers[-1].conv)]
        for parameter in fixed:
            parameter.requires_grad_(False)
        convolution = self.layers[0].conv
        norm = convolution.parametrizations.weight
        for parameter in (norm.original0, norm.original1, convolution.bias):
            parameter.register_hook(_without_fixed_rows)

    def forward(self, scaled: Tensor, turns: Tensor, noise: Tensor, loudness: Tensor) -> Tensor:
        """Audio (batch, samples) of scaled features (batch, FEATURES, frames).

        Args:
            scaled: Features, quantized.
            turns: Turns of the glottal cycle (batch, frames).
            noise: Output of the sources of noise (batch, frames, channels).
            loudness: Amplitude (batch, 1) of the oscillators; 1 is usual.
        """
        hidden = self.layers[0](scaled)
        hidden = hidden + oscillators.ideal_output(hidden, turns, noise, loudness * self._amplitude)
        for layer in self.layers[2:]:
            hidden = layer(hidden)
        waveform: Tensor = hidden[:, 0].float()
        return waveform


def _without_fixed_rows(gradient: Tensor) -> Tensor:
    gradient = gradient.clone()
    gradient[: oscillators.ORDINARY] = 0
    return gradient


def _last_scale(convolution: Any) -> list[Any]:
    """Scale and bias of the last convolution, which would take most of the gradient."""
    return [convolution.parametrizations.weight.original0, convolution.bias]


def _set_weight(convolution: Any, weight: Tensor) -> None:
    norm = convolution.parametrizations.weight
    with torch.no_grad():
        norm.original1.copy_(weight)
        norm.original0.copy_(weight.flatten(1).norm(dim=1)[:, None, None])
        convolution.bias.zero_()


def _set_upsampling(convolution: Any) -> None:
    """Turn the oscillators into waves: a triangular window over a wave of each one's pitch.

    The first channels hold the fundamental at even phase shifts, the others at random ones.
    """
    weight = convolution.weight.detach().clone()  # (inputs, outputs, 2 * ratio)
    ratio = weight.shape[2] // 2
    offset = torch.arange(2 * ratio) - (ratio - 0.5)
    window = 1 - offset.abs() / ratio
    outputs = weight.shape[1]
    shift = torch.rand(outputs) * 2 * math.pi
    size = torch.rand(outputs) * 0.5
    shift[:_PULSES] = torch.arange(_PULSES) * (2 * math.pi / _PULSES)
    size[:_PULSES] = 1.0
    frames = offset / ratio  # time in frames
    pitch = oscillators.center_hz() / sizes.FRAMES_PER_SECOND  # turns per frame
    angle = 2 * math.pi * pitch[:, None, None] * frames + shift[:, None]
    voice = 2 * oscillators.PITCHES
    weight[0:voice:2] = angle.cos() * window * size[:, None] * 3
    weight[1:voice:2] = -angle.sin() * window * size[:, None] * 3
    noise = slice(voice, oscillators.PITCH)
    weight[noise] = torch.randn(weight[noise].shape) / math.sqrt(2 * oscillators.NOISES)
    ordinary = torch.randn(*weight[oscillators.PITCH :].shape[:2], 1) * window
    weight[oscillators.PITCH :] = ordinary / math.sqrt(len(ordinary))
    weight[voice:, :_PULSES] *= 0.2
    _set_weight(convolution, weight)


def _set_pulses(convolution: Any) -> None:
    """Let the first hidden channels respond only near the peaks of the fundamental."""
    weight, bias = convolution.weight.detach().clone(), torch.zeros(len(convolution.bias))
    middle = weight.shape[2] - 1  # the convolution is causal
    for index in range(2 * _PULSES):
        peak, threshold = index % _PULSES, 1.1 if index < _PULSES else 1.5
        weight[index] = 0
        weight[index, peak, middle] = 1.5
        weight[index, (peak + _PULSES // 2) % _PULSES, middle] = -1.5
        bias[index] = -1.5 * threshold
    _set_weight(convolution, weight)
    with torch.no_grad():
        convolution.bias.copy_(bias)
