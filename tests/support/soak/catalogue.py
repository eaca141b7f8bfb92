"""What the soak asks for, and what single runs of the library say to it."""

import hashlib
import io
import itertools
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from bark_onnx.runtime import Bark, Speech, Voice
from bark_onnx.runtime.audio.encoders.encoder import open_encoder
from bark_onnx.runtime.audio.files.formats import RESPONSE_FORMATS, SIZED_FORMATS, ResponseFormat
from bark_onnx.runtime.longform.reading import SILENCE_SECONDS
from bark_onnx.runtime.seeds import segment_seed
from bark_onnx.runtime.server.schema import SpeechRequest
from bark_onnx.runtime.text.segments import split_text

SECRET = "zanzibar"  # in every text; what is logged must not have it
_WAV_HEADER_BYTES = 44
_LOSSY_SECONDS = 0.1  # that encoders may add

_SHORT = f"Hello {SECRET}"
_LONG = " ".join(f"{name} {SECRET} {'word ' * 6}end." for name in ("One", "Two", "Three"))


@dataclass(frozen=True)
class Utterance:
    """Something to say, and how it sounds."""

    body: dict[str, Any]
    pieces: tuple[Speech, ...]

    def sound(self, name: ResponseFormat, *, streams: bool) -> bytes:
        rate_hz = self.pieces[0].sample_rate_hz
        encoder = open_encoder(RESPONSE_FORMATS[name], rate_hz, streamed=streams)
        pause = np.zeros(round(SILENCE_SECONDS * rate_hz), np.float32)
        parts = [
            encoder.add(np.concatenate([pause[: len(pause) * (number > 0)], piece.samples]))
            for number, piece in enumerate(self.pieces)
        ]
        return b"".join([*parts, encoder.finish()])


@dataclass(frozen=True)
class VoiceQuery:
    """A request, and the sound that it must get."""

    body: dict[str, Any]
    format: ResponseFormat
    utterance: Utterance
    digest: str = field(repr=False)

    def check(self, sound: bytes) -> None:
        """Compare a sound with the single run's."""
        assert digest(self.format, sound) == self.digest, f"wrong audio for {self.body}"


def digest(name: ResponseFormat, sound: bytes) -> str:
    """Of the samples: containers may number themselves at random."""
    if name in ("pcm", "wav"):
        return hashlib.sha256(sound[_WAV_HEADER_BYTES * (name == "wav") :]).hexdigest()
    return hashlib.sha256(_decoded(sound)[0].tobytes()).hexdigest()


def catalogue(bark: Bark, voices: dict[str, Voice]) -> list[VoiceQuery]:
    """Every utterance in every format, whole and streamed.

    Args:
        bark: says them one by one.
        voices: that the server has besides the bundle's.
    """
    utterances = [_say(bark, body, voices) for body in _bodies([*voices])]
    found = []
    for number, (utterance, name) in enumerate(itertools.product(utterances, RESPONSE_FORMATS)):
        stream_format = (None, "audio", "sse")[(number + number // len(RESPONSE_FORMATS)) % 3]
        body = {"response_format": name, "stream_format": stream_format, **utterance.body}
        is_whole = stream_format is None and name in SIZED_FORMATS
        sound = utterance.sound(name, streams=not is_whole)
        _check_length(utterance, name, sound)
        found.append(VoiceQuery(body, name, utterance, digest(name, sound)))
    return found


def _bodies(voices: list[str]) -> list[dict[str, Any]]:
    """Texts, voices, seeds and settings, each in several combinations."""
    own = ["v2/en_speaker_0", None, "alloy", *voices]
    return [
        {
            "input": _LONG if number % 4 == 3 else _SHORT,
            "voice": own[number % len(own)],
            "seed": number,
            "sampling": ("transformers", "greedy", "suno")[number // 2 % 3],
            "semantic_max_new_tokens": 10 + number,
        }
        for number in range(2 * len(own))
    ]


def _say(bark: Bark, body: dict[str, Any], voices: dict[str, Voice]) -> Utterance:
    """Piece by piece, as the server must sound."""
    name = body["voice"]
    voice: Voice | str | None = voices.get(name, bark.voices[0] if name == "alloy" else name)
    options = SpeechRequest(**body).generation_options()
    pieces = []
    for number, piece in enumerate(split_text(body["input"], count_tokens=bark.count_tokens)):
        seed = segment_seed(body["seed"], number)
        pieces.append(bark.speak(piece.text, voice=voice, seed=seed, options=options))
        voice = voice or pieces[0].to_voice()
    return Utterance(body, tuple(pieces))


def _check_length(utterance: Utterance, name: ResponseFormat, sound: bytes) -> None:
    seconds = sum(piece.seconds for piece in utterance.pieces)
    seconds += SILENCE_SECONDS * (len(utterance.pieces) - 1)
    if name == "pcm":
        assert len(sound) == 2 * round(seconds * utterance.pieces[0].sample_rate_hz)
    else:
        samples, rate_hz = _decoded(sound)
        assert abs(len(samples) / rate_hz - seconds) < _LOSSY_SECONDS


def _decoded(sound: bytes) -> tuple[NDArray[np.float32], int]:
    with av.open(io.BytesIO(sound)) as file:
        resampler = av.AudioResampler(format="flt", layout="mono")
        frames = [part for frame in file.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]), frames[0].sample_rate
