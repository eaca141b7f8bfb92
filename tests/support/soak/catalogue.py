"""Requests of the soak test, with the audio that the library generates for them."""

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
from bark_onnx.runtime.options.stream import SILENCE_SECONDS
from bark_onnx.runtime.seeds import segment_seed
from bark_onnx.runtime.server.speech_request import SpeechRequest

SECRET = "zanzibar"  # in every text, and never in the log
_WAV_HEADER_BYTES = 44
_MAX_PADDING_SECONDS = 0.1  # added by lossy encoders

_SHORT = f"Hello {SECRET}"
_LONG = " ".join(f"{name} {SECRET} {'word ' * 6}end." for name in ("One", "Two", "Three"))


@dataclass(frozen=True)
class ExpectedSpeech:
    """A request's text, voice and settings, with the speech of its segments."""

    body: dict[str, Any]
    segments: tuple[Speech, ...]

    def encode(self, name: ResponseFormat, *, streamed: bool) -> bytes:
        rate_hz = self.segments[0].sample_rate_hz
        encoder = open_encoder(RESPONSE_FORMATS[name], rate_hz, streamed=streamed)
        silence = np.zeros(round(SILENCE_SECONDS * rate_hz), np.float32)
        parts = [
            encoder.add(np.concatenate([silence[: len(silence) * (number > 0)], segment.samples]))
            for number, segment in enumerate(self.segments)
        ]
        return b"".join([*parts, encoder.finish()])


@dataclass(frozen=True)
class ExpectedResponse:
    """A request, and the audio of its response."""

    body: dict[str, Any]
    format: ResponseFormat
    speech: ExpectedSpeech
    digest: str = field(repr=False)

    def check(self, audio: bytes) -> None:
        """Compare a response with the library's audio."""
        assert digest(self.format, audio) == self.digest, f"wrong audio for {self.body}"


def digest(name: ResponseFormat, audio: bytes) -> str:
    """Checksum of the samples: containers may have random serial numbers."""
    if name in ("pcm", "wav"):
        return hashlib.sha256(audio[_WAV_HEADER_BYTES * (name == "wav") :]).hexdigest()
    return hashlib.sha256(_decoded(audio)[0].tobytes()).hexdigest()


def catalogue(bark: Bark, voices: dict[str, Voice]) -> list[ExpectedResponse]:
    """Every speech in every format, whole and streamed.

    Args:
        bark: Library that generates the expected audio, one segment at a time.
        voices: Uploaded voices of the server.
    """
    speeches = [_generate(bark, body, voices) for body in _bodies([*voices])]
    found = []
    for number, (speech, name) in enumerate(itertools.product(speeches, RESPONSE_FORMATS)):
        stream_format = (None, "audio", "sse")[(number + number // len(RESPONSE_FORMATS)) % 3]
        body = {"response_format": name, "stream_format": stream_format, **speech.body}
        is_whole = stream_format is None and name in SIZED_FORMATS
        audio = speech.encode(name, streamed=not is_whole)
        _check_length(speech, name, audio)
        found.append(ExpectedResponse(body, name, speech, digest(name, audio)))
    return found


def _bodies(voices: list[str]) -> list[dict[str, Any]]:
    """Combinations of texts, voices, seeds and settings."""
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


def _generate(bark: Bark, body: dict[str, Any], voices: dict[str, Voice]) -> ExpectedSpeech:
    """Generate one segment after the other."""
    name = body["voice"]
    voice: Voice | str | None = voices.get(name, bark.voices[0] if name == "alloy" else name)
    options = SpeechRequest(**body).generation_options()
    segments: list[Speech] = []
    for number, segment in enumerate(bark.plan(body["input"]).segments):
        seed = segment_seed(body["seed"], number)
        segments.append(bark.speak(segment.text, voice=voice, seed=seed, options=options))
        voice = voice or segments[0].to_voice()
    return ExpectedSpeech(body, tuple(segments))


def _check_length(speech: ExpectedSpeech, name: ResponseFormat, audio: bytes) -> None:
    seconds = sum(segment.seconds for segment in speech.segments)
    seconds += SILENCE_SECONDS * (len(speech.segments) - 1)
    if name == "pcm":
        assert len(audio) == 2 * round(seconds * speech.segments[0].sample_rate_hz)
    else:
        samples, rate_hz = _decoded(audio)
        assert abs(len(samples) / rate_hz - seconds) < _MAX_PADDING_SECONDS


def _decoded(audio: bytes) -> tuple[NDArray[np.float32], int]:
    with av.open(io.BytesIO(audio)) as file:
        resampler = av.AudioResampler(format="flt", layout="mono")
        frames = [part for frame in file.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]), frames[0].sample_rate
