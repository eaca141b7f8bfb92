"""What the codes describe: level, spectral envelope, periodicity and pitch, 75 times a second."""

from dataclasses import dataclass

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch.nn.functional import one_hot

from bark_onnx.export.demo import flite, sizes

Array = NDArray[np.float32]

FEATURES = flite.CEPSTRUM_ORDER + 1 + 5 + 2  # cepstrum, strengths, voicing, pitch
LEVEL, VOICING, PITCH = 0, FEATURES - 2, FEATURES - 1
LOOKAHEAD = 3  # frames from the start of a frame to the instant that it describes

LEAD_SECONDS = 0.08  # of silence before the first phone
_TAIL_SECONDS = 0.12
_VOCODER_SECONDS = flite.FRAME_SAMPLES / flite.RATE_HZ
_VOCODER_LATENCY = 28  # samples from a pulse to the most energy
_LOUDNESS = 1.6  # the teachers are quiet


@dataclass(frozen=True)
class Speech:
    """An utterance on the codec's time axis, without the teacher's long pauses at the ends."""

    audio: Array  # (320 * frames,) at 24 kHz
    features: Array  # (frames, FEATURES)
    phase: Array  # (frames + 1,) turns of the glottal cycle at the end of each frame
    semantic: NDArray[np.int16]  # (tokens,)
    places: Array  # (tokens,) among the letters and signs of the text; NaN in a pause


def analyze(recording: flite.Recording, pitch_range: tuple[float, float]) -> Speech:
    """Cut, resample and describe a recording.

    Args:
        recording: A teacher's utterance.
        pitch_range: Lowest and highest usual pitch of the voice in Hz.
    """
    start, end = _bounds(recording.phones, len(recording.audio) / flite.RATE_HZ)
    tokens = int((end - start) * sizes.TOKENS_PER_SECOND)
    frames = tokens * sizes.FRAMES_PER_SECOND // sizes.TOKENS_PER_SECOND
    audio = soxr.resample(recording.audio, flite.RATE_HZ, sizes.RATE_HZ) * _LOUDNESS
    first = round(start * sizes.RATE_HZ)
    audio = audio[first : first + frames * sizes.FRAME_SAMPLES]
    audio = np.pad(audio, (0, frames * sizes.FRAME_SAMPLES - len(audio)))
    ends = start + (np.arange(frames + 1) + 1) / sizes.FRAMES_PER_SECOND
    described = start + (np.arange(frames) + LOOKAHEAD) / sizes.FRAMES_PER_SECOND
    semantic, places = semantic_tokens(recording, start, tokens, pitch_range)
    return Speech(
        audio=audio.astype(np.float32),
        features=_features(recording, described),
        phase=np.interp(ends, *_turns(recording)).astype(np.float32),
        semantic=semantic,
        places=places,
    )


def semantic_tokens(
    recording: flite.Recording, start: float, count: int, pitch_range: tuple[float, float]
) -> tuple[NDArray[np.int16], Array]:
    """Tokens (count,): the phone, the third of it, and the level of pitch of voiced phones.

    The level is that of the middle of the phone: levels that change within a phone would be most of
    what a model has to predict. With the tokens come their places (count,) in the text.
    """
    seconds = start + (np.arange(count) + 0.5) / sizes.TOKENS_PER_SECOND
    ends = np.array([phone.end for phone in recording.phones])
    starts = np.concatenate([[0.0], ends[:-1]])
    index = np.minimum(np.searchsorted(ends, seconds, side="right"), len(ends) - 1)
    phones = [recording.phones[i] for i in index]
    share = (seconds - starts[index]) / np.maximum(ends[index] - starts[index], 1e-3)
    places = [phone.place + phone.letters * s for phone, s in zip(phones, share, strict=True)]
    third = np.clip((share * sizes.THIRDS).astype(int), 0, sizes.THIRDS - 1)
    low, high = np.log2(pitch_range)
    share = (np.log2(_pitch(recording, (starts + ends) / 2)) - low) / (high - low)
    level = np.clip((share * sizes.PITCH_LEVELS).astype(int), 0, sizes.PITCH_LEVELS - 1)[index]
    kinds = np.array([_KINDS[phone.name] for phone in phones])
    kinds += np.where(kinds < len(sizes.UNVOICED), 0, level)
    # A letter is at its middle: half a letter after its start.
    return (kinds * sizes.THIRDS + third).astype(np.int16), np.array(places, np.float32) - 0.5


_KINDS = {name: index for index, name in enumerate(sizes.UNVOICED)} | {
    name: len(sizes.UNVOICED) + index * sizes.PITCH_LEVELS
    for index, name in enumerate(sizes.VOICED)
}


def token_groups() -> torch.Tensor:
    """Which phone, third and level of pitch a token has, as (tokens, groups) of 0 and 1."""
    tokens = torch.arange(sizes.SEMANTIC_VOCABULARY)
    kinds, third = tokens // sizes.THIRDS, tokens % sizes.THIRDS
    voiced = kinds - len(sizes.UNVOICED)
    phone = torch.where(voiced < 0, kinds, len(sizes.UNVOICED) + voiced // sizes.PITCH_LEVELS)
    level = torch.where(voiced < 0, sizes.PITCH_LEVELS, voiced % sizes.PITCH_LEVELS)
    return torch.cat([one_hot(column).float() for column in (phone, third, level)], 1)


def phone_names(semantic: NDArray[np.integer]) -> list[str]:
    """Names of the phones of a sequence of tokens, each once per occurrence."""
    names = [*sizes.UNVOICED]
    names += [name for name in sizes.VOICED for _ in range(sizes.PITCH_LEVELS)]
    found: list[str] = []
    last = ("", 0)
    for token in semantic.tolist():
        name, third = names[token // sizes.THIRDS], token % sizes.THIRDS
        if name != last[0] or third < last[1]:
            found.append(name)
        last = (name, third)
    return found


def _bounds(phones: tuple[flite.Phone, ...], duration: float) -> tuple[float, float]:
    """Seconds where the utterance starts and ends."""
    speech = [index for index, phone in enumerate(phones) if phone.name != "pau"]
    first = phones[speech[0] - 1].end if speech[0] else 0.0
    last = phones[speech[-1]].end
    return max(0.0, first - LEAD_SECONDS), min(duration, last + _TAIL_SECONDS)


def _features(recording: flite.Recording, seconds: NDArray[np.float64]) -> Array:
    is_voiced = recording.pitch_hz > 0
    columns = np.column_stack(
        [recording.cepstrum, recording.strengths * is_voiced[:, None], is_voiced]
    )
    centers = (np.arange(len(columns)) - 0.5) * _VOCODER_SECONDS
    resampled = [np.interp(seconds, centers, column) for column in columns.T]
    return np.column_stack([*resampled, np.log2(_pitch(recording, seconds))]).astype(np.float32)


def _pitch(recording: flite.Recording, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pitch in Hz, interpolated where the speech is unvoiced."""
    centers = (np.arange(len(recording.pitch_hz)) - 0.5) * _VOCODER_SECONDS
    is_voiced = recording.pitch_hz > 0
    return np.exp(np.interp(seconds, centers[is_voiced], np.log(recording.pitch_hz[is_voiced])))


def _turns(recording: flite.Recording) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Instants and the turns of the glottal cycle at them, whole at the vocoder's pulses.

    Between stretches of pulses, the turns follow the pitch, fitted to the next whole number.
    """
    pulses = (_pulses(recording.pitch_hz) - flite.FRAME_SAMPLES + _VOCODER_LATENCY) / flite.RATE_HZ
    pitch = _pitch(recording, (pulses[1:] + pulses[:-1]) / 2)
    steps = np.maximum(np.round(np.diff(pulses) * pitch), 1)
    turns = np.concatenate([[0.0], np.cumsum(steps)])
    duration = len(recording.audio) / flite.RATE_HZ + 1
    before, after = pulses[0] + 1, duration - pulses[-1]
    return (
        np.concatenate([[-1.0], pulses, [duration]]),
        np.concatenate([[-before * pitch[0]], turns, [turns[-1] + after * pitch[-1]]]),
    )


def _pulses(pitch_hz: Array) -> NDArray[np.float64]:
    """Samples at which flite's vocoder starts a glottal cycle (`vocoder` in cst_mlsa.c)."""
    found: list[int] = []
    previous = count = 0.0
    for frame, pitch in enumerate(pitch_hz.tolist()):
        period = flite.RATE_HZ / pitch if pitch > 0 else 0.0
        if not previous or not period:
            count, previous = period, period
            continue
        increment, current = (period - previous) / flite.FRAME_SAMPLES, previous
        for sample in range(flite.FRAME_SAMPLES):
            count += 1
            if count >= current:
                found.append(frame * flite.FRAME_SAMPLES + sample)
                count -= current
            current += increment
        previous = period
    return np.array(found, dtype=float)
