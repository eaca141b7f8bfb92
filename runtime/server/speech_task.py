"""The body of one answer: a text as the bytes of a sound or as server-sent events."""

import base64
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import numpy as np

from bark_onnx.runtime.audio.files.formats import MEDIA_TYPES, SIZED_FORMATS
from bark_onnx.runtime.seeds import resolve_seed
from bark_onnx.runtime.server.errors import ApiError
from bark_onnx.runtime.server.schema import SpeechRequest
from bark_onnx.runtime.server.service import SpeechService
from bark_onnx.runtime.server.sound import Sound
from bark_onnx.runtime.server.speaking import Order, say
from bark_onnx.runtime.text.segments import split_text


class SpeechTask:
    """A request to speak, checked, and what becomes of it.

    Args:
        request: what is asked for.
        service: who answers.

    Raises:
        BarkError: it asks for something that there is not.
    """

    def __init__(self, request: SpeechRequest, service: SpeechService) -> None:
        self._request = request
        self._service = service
        self._order = _order(request, service)
        self._sends_events = request.stream_format == "sse"
        self._output_tokens = 0
        self.audio_seconds = 0.0  # so far
        self.is_whole = request.stream_format is None and request.response_format in SIZED_FORMATS

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
        service, rate_hz, request = self._service, self._service.bark.sample_rate_hz, self._request
        sound = Sound(
            request.response_format, rate_hz, speed=request.speed, streams=not self.is_whole
        )
        silence = np.zeros(round(service.settings.silence_seconds * rate_hz), np.float32)
        pause = silence[:0]
        async with aclosing(sound):
            speech = say(service.bark, self._order, at_once=service.settings.pieces_at_once)
            async with aclosing(speech):
                async for piece in speech:
                    self._output_tokens += len(piece.semantic_tokens)
                    chunk = await sound.add(np.concatenate([pause, piece.samples]))
                    self.audio_seconds = sound.seconds
                    yield chunk
                    pause = silence
            chunk = await sound.finish()
            self.audio_seconds = sound.seconds
            yield chunk

    def _usage(self) -> dict[str, int]:
        read = sum(piece.tokens for piece in self._order.pieces)
        drawn = self._output_tokens
        return {"input_tokens": read, "output_tokens": drawn, "total_tokens": read + drawn}


def _order(request: SpeechRequest, service: SpeechService) -> Order:
    limit = service.settings.max_text_characters
    if len(request.input) > limit:
        raise ApiError(
            400,
            f"input has {len(request.input)} characters; expected at most {limit}",
            param="input",
            code="text_too_long",
        )
    split = split_text(request.input, count_tokens=service.bark.count_tokens)
    pieces = tuple(piece for piece in split if piece.tokens)
    if not pieces:
        raise ApiError(400, "input is blank; expected something to say", param="input")
    service.check_model(request.model)
    return Order(
        pieces=pieces,
        voice=service.voices.resolve(request.voice_name),
        seed=resolve_seed(request.seed),
        options=request.generation_options(),
    )


def _delta(chunk: bytes) -> bytes:
    return _event("speech.audio.delta", audio=base64.b64encode(chunk).decode())


def _event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()
