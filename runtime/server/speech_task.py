"""Body of one speech response: encoded audio, or server-sent events with parts of it."""

import base64
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from bark_onnx.runtime import StreamPlan
from bark_onnx.runtime.audio.files.formats import MEDIA_TYPES, SIZED_FORMATS
from bark_onnx.runtime.audio.timeline import SpeechTimeline
from bark_onnx.runtime.server.audio_encoder import AsyncEncoder
from bark_onnx.runtime.server.errors import ApiError
from bark_onnx.runtime.server.service import SpeechService
from bark_onnx.runtime.server.speech_request import SpeechRequest


class SpeechTask:
    """A validated speech request.

    Args:
        request: Fields of the request.
        service: Bundle, voices and settings.

    Attributes:
        audio_seconds: Duration of the encoded audio so far.
        is_whole: Whether the body is a single chunk, whose length is known before it is sent.

    Raises:
        BarkError: The request cannot be fulfilled.
    """

    def __init__(self, request: SpeechRequest, service: SpeechService) -> None:
        self._request = request
        self._service = service
        self._plan = _plan(request, service)
        self._sends_events = request.stream_format == "sse"
        self._output_tokens = 0
        self.audio_seconds = 0.0
        self.is_whole = request.stream_format is None and request.response_format in SIZED_FORMATS

    @property
    def media_type(self) -> str:
        """Media type of the body."""
        if self._sends_events:
            return "text/event-stream"
        return MEDIA_TYPES[self._request.response_format]

    @property
    def seed(self) -> int:
        """Seed that generates the same speech again."""
        return self._plan.seed

    def log_fields(self) -> dict[str, Any]:
        """Fields of the request's log line."""
        request, plan = self._request, self._plan
        fields = {
            "characters": len(request.input),
            "segments": len(plan.segments),
            "voice": request.voice_name,
            "format": request.response_format,
            "seed": plan.seed,
            "audio_seconds": round(self.audio_seconds, 3),
        }
        return fields | ({"text": request.input} if self._service.settings.logs_texts else {})

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Generate the body in chunks, none of which is empty.

        Raises:
            BarkError: A segment cannot be generated.
        """
        async with aclosing(self._encoded()) as encoded:
            async for chunk in encoded:
                if chunk:
                    yield _delta(chunk) if self._sends_events else chunk
        if self._sends_events:
            yield _event("speech.audio.done", usage=self._usage())

    def error_event(self, error: ApiError) -> bytes | None:
        """Last event after an error; None for a body that is not a stream of events."""
        return _event("error", **error.body()) if self._sends_events else None

    async def _encoded(self) -> AsyncGenerator[bytes]:
        bark, request = self._service.bark, self._request
        encoder = AsyncEncoder(
            request.response_format,
            bark.sample_rate_hz,
            speed=request.speed,
            streamed=not self.is_whole,
        )
        timeline = SpeechTimeline(bark.sample_rate_hz)
        async with aclosing(encoder), aclosing(bark.astream(self._plan)) as speeches:
            async for speech in speeches:
                self._output_tokens += len(speech.semantic_tokens)
                chunk = await encoder.add(timeline.add(speech))
                self.audio_seconds = encoder.seconds
                yield chunk
            chunk = await encoder.finish()
            self.audio_seconds = encoder.seconds
            yield chunk

    def _usage(self) -> dict[str, int]:
        input_tokens = sum(segment.tokens for segment in self._plan.segments)
        output_tokens = self._output_tokens
        return {
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
            "total_tokens": input_tokens + output_tokens,
        }


def _plan(request: SpeechRequest, service: SpeechService) -> StreamPlan:
    limit = service.settings.max_text_characters
    if len(request.input) > limit:
        raise ApiError(
            400,
            f"input has {len(request.input)} characters; expected at most {limit}",
            param="input",
            code="text_too_long",
        )
    service.check_model(request.model)
    plan = service.bark.plan(
        request.input,
        voice=service.voices.resolve(request.voice_name),
        speakers={
            speaker: service.voices.resolve(voice, param="speakers")
            for speaker, voice in request.speaker_voices.items()
        },
        seed=request.seed,
        options=request.generation_options(),
        stream=request.stream_options(
            silence_seconds=service.settings.silence_seconds,
            concurrency=service.settings.concurrency,
        ),
    )
    if not plan.segments or not all(segment.tokens for segment in plan.segments):
        raise ApiError(400, "input, or a speaker's line, is blank; expected a text", param="input")
    return plan


def _delta(chunk: bytes) -> bytes:
    return _event("speech.audio.delta", audio=base64.b64encode(chunk).decode())


def _event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()
