"""The decoder's LSTM as a bank of oscillators, set by hand.

A convolutional decoder that sees 75 frames a second cannot keep the phase of a voice from frame to
frame: it hums at the frame rate. Here the recurrence of the LSTM keeps it. Its hidden units are

- pairs (cosine, sine) for the pitches of a voice: the gates let those near the pitch of the frame
  through, and the recurrence rotates them by the angle of a frame;
- pairs that rotate by fixed angles without common multiples: after upsampling, a source of noise;
- one unit that is high while the speech is quiet, and starts the oscillators of the voice.

All other units are closed; their channels pass the LSTM by its skip connection.
"""

import math
from typing import Any

import torch
from torch import Tensor

from bark_onnx.export.demo import features
from bark_onnx.export.demo.quantizer import SCALES

CHANNELS = 256
PITCHES = 40
NOISES = 32
PITCH = 2 * (PITCHES + NOISES)  # channel of the pitch, from which the gates are computed
QUIET = PITCH + 1  # channel of the level, and the unit that starts the oscillators
ORDINARY = QUIET + 1  # first channel that is trained

_VOICE, _NOISE = slice(0, 2 * PITCHES), slice(2 * PITCHES, PITCH)
_LOWEST_HZ, _HIGHEST_HZ = 62.0, 225.0
_OCTAVES = math.log2(_HIGHEST_HZ / _LOWEST_HZ) / PITCHES  # of one oscillator
_CENTER = (PITCHES - 1) / 2
_UNIT = 12.0  # oscillators for a change of the pitch channel by 1
_SHARPNESS = 4.0  # of the gates
_GAIN, _NOISE_GAIN = 1.08, 1.2  # of the recurrence; the activations limit the amplitude
_KICK = 0.2
_CLOSED, _OPEN = -40.0, 10.0
_QUIET_LEVEL, _QUIET_SHARPNESS = -1.0, 8.0  # of scaled features
# Weights of the frames t - 6 to t: of the pitch between the ends of frames t - 1 and t, and of the
# level at the end of frame t.
_PITCH_TAPS = torch.tensor([0.0, 0.05, 0.15, 0.3, 0.3, 0.15, 0.05])
_LEVEL_TAPS = torch.tensor([0.0, 0.0, 0.0, 0.25, 0.5, 0.25, 0.0])


def center_hz() -> Tensor:
    """Pitch (PITCHES,) of each oscillator of the voice."""
    return _LOWEST_HZ * 2 ** ((torch.arange(PITCHES) + 0.5) * _OCTAVES)


def set_convolution(convolution: Any, mean_log2_hz: float) -> None:
    """Set the fixed rows of the decoder's first convolution: none, none, pitch and level."""
    weight = torch.zeros(ORDINARY, *convolution.weight.shape[1:])
    weight[PITCH, features.PITCH] = _PITCH_TAPS / (SCALES[features.PITCH] * _OCTAVES * _UNIT)
    weight[QUIET, features.LEVEL] = _LEVEL_TAPS
    position = (mean_log2_hz - math.log2(_LOWEST_HZ)) / _OCTAVES - 0.5
    norm = convolution.parametrizations.weight
    with torch.no_grad():
        norm.original0[:ORDINARY] = weight.flatten(1).norm(dim=1)[:, None, None]
        norm.original1[:ORDINARY] = weight
        norm.original1[:PITCH] = 1.0  # any direction, of length 0
        convolution.bias[:ORDINARY] = 0.0
        convolution.bias[PITCH] = (position - _CENTER) / _UNIT


def set_lstm(lstm: Any) -> None:
    """Set all weights of the LSTM, whose input are the channels of the first convolution."""
    turns = torch.cat([center_hz() * 320 / 24_000, _noise_turns()])
    gain = torch.cat([torch.full((PITCHES,), _GAIN), torch.full((NOISES,), _NOISE_GAIN)])
    rotation = _rotations(2 * math.pi * turns) * gain[:, None, None]  # (pairs, 2, 2)
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.zero_()
        of_input, forget, cell, output = lstm.bias_ih_l0.view(4, CHANNELS)
        forget.fill_(_CLOSED)
        output.fill_(_CLOSED)
        output[_NOISE] = output[QUIET] = of_input[_NOISE] = cell[QUIET] = _OPEN

        index = torch.arange(PITCHES).repeat_interleave(2)
        rising, _, _, falling = lstm.weight_ih_l0.view(4, CHANNELS, CHANNELS)
        rising[_VOICE, PITCH] = _SHARPNESS * _UNIT
        falling[_VOICE, PITCH] = -_SHARPNESS * _UNIT
        of_input[_VOICE] = _SHARPNESS * (_CENTER - index + 0.5)
        output[_VOICE] = -_SHARPNESS * (_CENTER - index - 0.5)
        rising[QUIET, QUIET] = -_QUIET_SHARPNESS
        of_input[QUIET] = _QUIET_SHARPNESS * _QUIET_LEVEL

        recurrent = lstm.weight_hh_l0.view(4, CHANNELS, CHANNELS)[2]
        # Each pair rotates what all of them hold, so that the phase outlives a change of pitch.
        voice = rotation[:PITCHES].reshape(-1, 2)
        recurrent[_VOICE, _VOICE] = voice.repeat(1, PITCHES)
        recurrent[_VOICE, QUIET] = torch.tensor([_KICK, 0.0]).repeat(PITCHES)
        recurrent[_NOISE, _NOISE] = torch.block_diag(*rotation[PITCHES:])
        cell[_NOISE] = _KICK / 2 * _rotations(torch.arange(NOISES) * 2.4)[:, :, 0].flatten()


def ideal_output(hidden: Tensor, turns: Tensor, noise: Tensor, amplitude: Tensor) -> Tensor:
    """Output of the LSTM (batch, CHANNELS, frames) where the phase of the voice is known.

    Args:
        hidden: Channels (batch, CHANNELS, frames) of the first convolution.
        turns: Turns of the glottal cycle (batch, frames) at the end of each frame.
        noise: Output (batch, frames, 2 * NOISES) of the sources of noise.
        amplitude: Amplitude (batch, 1) of the voice.
    """
    pitches = torch.arange(PITCHES, device=hidden.device)
    distance = (hidden[:, PITCH] * _UNIT + _CENTER)[..., None] - pitches
    gates = torch.sigmoid(_SHARPNESS * (distance + 0.5))
    gates = gates * torch.sigmoid(-_SHARPNESS * (distance - 0.5))
    angle = 2 * math.pi * turns
    phase = torch.stack([angle.cos(), angle.sin()], -1) * amplitude[..., None]
    voice = (gates[..., None] * phase[:, :, None]).flatten(2)
    quiet = torch.sigmoid(_QUIET_SHARPNESS * (_QUIET_LEVEL - hidden[:, QUIET])).tanh()
    output = torch.zeros_like(hidden)
    output[:, _VOICE] = voice.transpose(1, 2)
    output[:, _NOISE] = noise.transpose(1, 2)
    output[:, QUIET] = quiet
    return output


@torch.no_grad()
def run_noise(lstm: Any, frames: int) -> Tensor:
    """Output (frames, 2 * NOISES) of the sources of noise."""
    return lstm(torch.zeros(frames + 50, 1, CHANNELS))[0][50:, 0, _NOISE]


@torch.no_grad()
def voice_amplitude(lstm: Any) -> float:
    """Mean amplitude of the voice's oscillators, over several pitches."""
    hidden = torch.zeros(200, 9, CHANNELS)
    hidden[:, :, PITCH] = torch.linspace(-_CENTER + 2, _CENTER - 2, 9) / _UNIT
    hidden[:20, :, QUIET] = 4 * _QUIET_LEVEL
    pairs = lstm(hidden)[0][100:, :, _VOICE].unflatten(-1, (PITCHES, 2)).sum(2)
    return float(pairs.norm(dim=-1).mean())


def _noise_turns() -> Tensor:
    """Turns (NOISES,) per frame of each source of noise."""
    golden = (math.sqrt(5) - 1) / 2
    return 0.08 + 0.4 * (torch.arange(NOISES) * golden % 1)


def _rotations(angles: Tensor) -> Tensor:
    cosine, sine = angles.cos(), angles.sin()
    return torch.stack([torch.stack([cosine, -sine], -1), torch.stack([sine, cosine], -1)], 1)
