"""The body of one answer: a text as the bytes of a sound or as server-sent events."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import numpy as np

from bark_onnx.runtime.reading import draw_seed
from bark_onnx.runtime.serve.encoding import (
    MEDIA_TYPES,
    STATES_LENGTH,
    Samples,
    Tempo,
    open_encoder,
)
from bark_onnx.runtime.serve.errors import ApiError
from bark_onnx.runtime.serve.schema import SpeechRequest
from bark_onnx.runtime.serve.service import Service
from bark_onnx.runtime.serve.speaking import Order, say
from bark_onnx.runtime.text.pieces import split_text


class Delivery:
    """A request to speak, checked, and what becomes of it.

    Args:
        request: what is asked for.
        service: who answers.

    Raises:
        BarkError: it asks for something that there is not.
    """

    def __init__(self, request: SpeechRequest, service: Service) -> None:
        self._request = request
        self._service = service
        self._order = _order(request, service)
        self._sends_events = request.stream_format == "sse"
        self._output_tokens = 0
        self.audio_seconds = 0.0  # so far
        self.is_whole = request.stream_format is None and request.response_format in STATES_LENGTH

    @property
    def media_type(self) -> str:
        """Of the body."""
        if self._sends_events:
            return "text/event-stream"
        return MEDIA_TYPES[self._request.response_format]

    @property
    def seed(self) -> int:
        """What gives the same speech again."""
        return self._order.seed

    def fields(self) -> dict[str, Any]:
        """What the log says about the request."""
        request, order = self._request, self._order
        fields = {
            "characters": len(request.input),
            "pieces": len(order.pieces),
            "voice": request.voice_name,
            "format": request.response_format,
            "seed": order.seed,
            "audio_seconds": round(self.audio_seconds, 3),
        }
        return fields | ({"text": request.input} if self._service.settings.logs_texts else {})

    async def chunks(self) -> AsyncGenerator[bytes]:
        """The body, each chunk as soon as it is known; none is empty.

        Raises:
            BarkError: a piece cannot be said.
        """
        async with aclosing(self._sound()) as sound:
            async for chunk in sound:
                if chunk:
                    yield _delta(chunk) if self._sends_events else chunk
        if self._sends_events:
            yield _event("speech.audio.done", usage=self._usage())

    def failure(self, problem: ApiError) -> bytes | None:
        """What the body says of a problem after it has begun; None where it cannot."""
        return _event("error", **problem.body()) if self._sends_events else None

    async def _sound(self) -> AsyncGenerator[bytes]:
        service, rate_hz = self._service, self._service.bark.sample_rate_hz
        sound = _Sound(self._request, rate_hz, streams=not self.is_whole)
        pause = np.zeros(0, np.float32)
        speech = say(service.bark, self._order, at_once=service.settings.pieces_at_once)
        async with aclosing(speech):
            async for piece in speech:
                self._output_tokens += len(piece.semantic_tokens)
                samples = np.concatenate([pause, piece.samples])
                pause = np.zeros(round(service.settings.silence_seconds * rate_hz), np.float32)
                # A piece takes up to 0.1 s, which nobody else shall wait for.
                chunk = await asyncio.to_thread(sound.add, samples)
                self.audio_seconds = sound.seconds
                yield chunk
        chunk = await asyncio.to_thread(sound.finish)
        self.audio_seconds = sound.seconds
        yield chunk

    def _usage(self) -> dict[str, int]:
        read = sum(map(self._service.bark.count_tokens, self._order.pieces))
        drawn = self._output_tokens
        return {"input_tokens": read, "output_tokens": drawn, "total_tokens": read + drawn}


class _Sound:
    """The bytes of the sound that a request asks for."""

    def __init__(self, request: SpeechRequest, rate_hz: int, *, streams: bool) -> None:
        self.seconds = 0.0  # that were encoded
        self._rate_hz = rate_hz
        self._tempo = Tempo(request.speed, rate_hz)
        self._encoder = open_encoder(request.response_format, rate_hz, streams=streams)

    def add(self, samples: Samples) -> bytes:
        """Bytes that are ready after these samples."""
        return self._encode(self._tempo.add(samples))

    def finish(self) -> bytes:
        """The bytes that are left."""
        return self._encode(self._tempo.finish()) + self._encoder.finish()

    def _encode(self, samples: Samples) -> bytes:
        self.seconds += len(samples) / self._rate_hz
        return self._encoder.add(samples)


def _order(request: SpeechRequest, service: Service) -> Order:
    limit = service.settings.max_text_characters
    if len(request.input) > limit:
        raise ApiError(
            400,
            f"input has {len(request.input)} characters; expected at most {limit}",
            param="input",
            code="text_too_long",
        )
    split = split_text(request.input, count_tokens=service.bark.count_tokens)
    pieces = [piece.text for piece in split if piece.tokens]
    if not pieces:
        raise ApiError(400, "input is blank; expected something to say", param="input")
    service.check_model(request.model)
    return Order(
        pieces=tuple(pieces),
        voice=service.voices.resolve(request.voice_name),
        seed=draw_seed() if request.seed is None else request.seed,
        options=request.generation_options(),
    )


def _delta(chunk: bytes) -> bytes:
    return _event("speech.audio.delta", audio=base64.b64encode(chunk).decode())


def _event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()
