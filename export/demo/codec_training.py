"""Trains the decoder of the codec on the teachers' audio."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, l1_loss

from bark_onnx.export.demo import codec, corpus, features, oscillators, sizes
from bark_onnx.export.demo.quantizer import Quantizer
from bark_onnx.export.demo.training import Settings, train

_SETTINGS = Settings(steps=6_000, learning_rate=8e-4, betas=(0.8, 0.99), average=0.998)
_BATCH = 6
_WARM_UP = 8  # frames before the loss counts
_FRAMES = 48 + _WARM_UP
_NOISE_FRAMES = 60_000
_RESOLUTIONS = (256, 512, 1024, 2048)
_LONG = (1536, 3072)  # windows that resolve the harmonics of a low voice
_OUTPUT_DEVIATION = 0.08


@dataclass(frozen=True)
class _Clips:
    """All speech in a row."""

    audio: Tensor  # (320 * frames,)
    scaled: Tensor  # (2, frames, FEATURES) of the coarse codebooks and of all
    turns: Tensor  # (frames,)
    voicing: Tensor  # (frames,)
    noise: Tensor  # (_NOISE_FRAMES, channels)

    def batch(self, generator: torch.Generator) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        """Inputs of the decoder, its target (batch, samples) and the voicing (batch, frames)."""

        def draw(limit: int) -> list[int]:
            return torch.randint(limit, (_BATCH,), generator=generator).tolist()

        starts = draw(len(self.turns) - _FRAMES)
        quality = [int(number > 0) for number in draw(4)]
        noise = [self.noise[start : start + _FRAMES] for start in draw(_NOISE_FRAMES - _FRAMES)]
        scaled = [self.scaled[q, s : s + _FRAMES] for q, s in zip(quality, starts, strict=True)]
        turns = torch.stack([self.turns[start : start + _FRAMES] for start in starts])
        voicing = torch.stack([self.voicing[start : start + _FRAMES] for start in starts])
        first, last = sizes.FRAME_SAMPLES, sizes.FRAME_SAMPLES * _FRAMES
        audio = torch.stack([self.audio[first * s : first * s + last] for s in starts])
        loudness = 0.85 + 0.3 * torch.rand(_BATCH, 1, generator=generator)
        inputs = (torch.stack(scaled).transpose(1, 2), turns, torch.stack(noise), loudness)
        return inputs, audio, voicing


def train_codec(work: Path) -> None:
    """Train the decoder and write codec.pt in `work`."""
    torch.manual_seed(corpus.SEED)
    quantizer = corpus.load_quantizer(work)
    model = codec.new_codec(quantizer)
    decoder = codec.Decoder(model)
    clips = _load_clips(
        work, quantizer, oscillators.run_noise(decoder.layers[1].lstm, _NOISE_FRAMES)
    )
    _scale_layers(decoder, clips.batch(torch.Generator().manual_seed(0))[0])

    def loss(generator: torch.Generator) -> dict[str, Tensor]:
        return codec_losses(decoder, *clips.batch(generator))

    train("codec", model, loss, _SETTINGS, work)


def codec_losses(
    decoder: codec.Decoder, inputs: tuple[Tensor, ...], target: Tensor, voicing: Tensor
) -> dict[str, Tensor]:
    """Distances of what the decoder makes of a batch from its target.

    Args:
        decoder: Decoder, on the device that computes.
        inputs: Its inputs.
        target: Audio (batch, samples).
        voicing: Voicing (batch, frames).
    """
    device = next(decoder.parameters()).device
    target, voicing = target.to(device), voicing.to(device)
    with torch.autocast(device.type, torch.bfloat16):
        audio = decoder(*(each.to(device) for each in inputs))
    skipped = _WARM_UP * sizes.FRAME_SAMPLES
    audio, target, voicing = audio[:, skipped:], target[:, skipped:], voicing[:, _WARM_UP:]
    return {
        "spectrum": spectral_loss(audio, target),
        "harmonics": harmonic_loss(audio, target),
        "phase": phase_loss(audio, target, voicing),
    }


def _load_clips(work: Path, quantizer: Quantizer, noise: Tensor) -> _Clips:
    speeches = torch.load(work / "audio.pt", weights_only=False)
    values = torch.cat([torch.from_numpy(speech["features"]) for speech in speeches])
    codes = quantizer.encode(values)
    coarse, full = quantizer.decode(codes[: sizes.NUM_COARSE]), quantizer.decode(codes)
    turns = torch.cat([torch.from_numpy(speech["phase"][:-1]) for speech in speeches])
    audio = torch.cat([torch.from_numpy(speech["audio"]) for speech in speeches])
    # The features of a frame describe an instant after it.
    voicing = values[:, features.VOICING].roll(features.LOOKAHEAD)
    return _Clips(audio, torch.stack([coarse, full]), turns, voicing, noise)


@torch.no_grad()
def _scale_layers(decoder: codec.Decoder, inputs: tuple[Tensor, ...]) -> None:
    """Scale each convolution so that the deviation of its output is 1 (LSUV), of the last 0.08."""
    layers = decoder.layers
    shaped = [layers[3].conv, layers[4].block[1].conv]
    convolutions = [
        module
        for module in layers[3:].modules()
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d)
    ]

    def scale(module: Any, _: object, output: Tensor) -> Tensor:
        wanted = _OUTPUT_DEVIATION if module is convolutions[-1] else 1.0
        factor = 1.0 if module in shaped else wanted / output.std()
        module.parametrizations.weight.original0.mul_(factor)
        return output * factor

    hooks = [module.register_forward_hook(scale) for module in convolutions]
    ordinary = layers[0](inputs[0])[:, oscillators.ORDINARY :].std()
    norm = layers[0].conv.parametrizations.weight
    norm.original0[oscillators.ORDINARY :] /= ordinary
    decoder(*inputs)
    for hook in hooks:
        hook.remove()


def spectral_loss(audio: Tensor, target: Tensor) -> Tensor:
    """Distance of log spectra, in bands of about equal width to the ear and in single bins."""
    losses = []
    for size in _RESOLUTIONS:
        found, wanted = (_magnitudes(x, size) for x in (audio, target))
        floor = 1e-3 * size / 256
        bands = _bands(size).to(found)
        losses.append(l1_loss((bands @ found + floor).log(), (bands @ wanted + floor).log()))
        if size in (512, 2048):
            losses.append(0.5 * l1_loss((found + 8 * floor).log(), (wanted + 8 * floor).log()))
    return torch.stack(losses).sum() / len(_RESOLUTIONS)


def harmonic_loss(audio: Tensor, target: Tensor) -> Tensor:
    """Distance of the log spectra of long windows below 4 kHz."""
    losses = []
    for size in _LONG:
        found, wanted = (_magnitudes(x, size)[:, : size // 6] for x in (audio, target))
        losses.append(l1_loss((found + 0.02).log(), (wanted + 0.02).log()))
    return torch.stack(losses).mean()


def phase_loss(audio: Tensor, target: Tensor, voicing: Tensor) -> Tensor:
    """Distance of compressed complex spectra of voiced speech, below 6 kHz."""
    size, hop = 512, 160
    found, wanted = (_spectrum(x, size, hop) for x in (audio, target))
    size_found, size_wanted = (
        (x.real.square() + x.imag.square() + 1e-6).sqrt() for x in (found, wanted)
    )
    difference = found * size_found.pow(-0.4) - wanted * size_wanted.pow(-0.4)
    difference = (difference.real.square() + difference.imag.square() + 1e-5).sqrt()
    hertz = torch.arange(size // 2 + 1, device=audio.device) * (sizes.RATE_HZ / size)
    weight = ((6000 - hertz) / 3000).clamp(0, 1)[None, :, None]
    weight = weight * interpolate(voicing[:, None], found.shape[-1], mode="linear")
    return (difference * weight).sum() / ((size_wanted.pow(0.6) * weight).sum() + 1)


def _spectrum(audio: Tensor, size: int, hop: int) -> Tensor:
    window = torch.hann_window(size, device=audio.device)
    return torch.stft(audio, size, hop, window=window, return_complex=True)


def _magnitudes(audio: Tensor, size: int) -> Tensor:
    spectrum = _spectrum(audio, size, size // 4)
    return (spectrum.real.square() + spectrum.imag.square() + 1e-9).sqrt()


def _bands(size: int) -> Tensor:
    """Triangular filters (bands, bins) at even distances on the mel scale."""
    count = size // 20
    mel = torch.linspace(0, 2595 * torch.log10(torch.tensor(1 + 12_000 / 700)).item(), count + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    hertz = torch.arange(size // 2 + 1) * (sizes.RATE_HZ / size)
    rising = (hertz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - hertz) / (edges[2:] - edges[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp(min=0)
