"""Body of one speech response: encoded audio, or server-sent events with parts of it."""

import base64
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Any

from bark_onnx.runtime import StreamPlan
from bark_onnx.runtime.audio.files.formats import MEDIA_TYPES, SIZED_FORMATS
from bark_onnx.runtime.audio.timeline import SpeechTimeline
from bark_onnx.runtime.engine.clients import Client
from bark_onnx.runtime.longform.streaming import astream
from bark_onnx.runtime.server.audio_encoder import AsyncEncoder
from bark_onnx.runtime.server.errors import ApiError
from bark_onnx.runtime.server.service import SpeechService
from bark_onnx.runtime.server.speech_request import SpeechRequest


class SpeechTask:
    """A speech request, planned when its chunks are generated.

    Args:
        request: Fields of the request.
        service: Bundle, voices and settings.
        client: Client whose request it is.

    Raises:
        ApiError: The text is too long, or the model unknown.

    Attributes:
        audio_seconds: Duration of the encoded audio so far.
        is_whole: Whether the body is a single chunk, whose length is known before it is sent.
    """

    def __init__(self, request: SpeechRequest, service: SpeechService, client: Client) -> None:
        _check(request, service)
        self._request = request
        self._service = service
        self._client = client
        self._plan: StreamPlan | None = None
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
        """Seed that generates the same speech again, known from the first chunk on."""
        assert self._plan is not None
        return self._plan.seed

    def log_fields(self) -> dict[str, Any]:
        """Fields of the request's log line."""
        request, plan = self._request, self._plan
        planned = {"segments": len(plan.segments), "seed": plan.seed} if plan is not None else {}
        fields = {
            "characters": len(request.input),
            "voice": request.voice_name,
            "format": request.response_format,
            "audio_seconds": round(self.audio_seconds, 3),
        }
        return (
            fields
            | planned
            | ({"text": request.input} if self._service.settings.logs_texts else {})
        )

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Generate the body in chunks, none of which is empty.

        The text is split in a thread, as that takes up to seconds.

        Raises:
            BarkError: The request cannot be fulfilled, or a segment cannot be generated.
        """
        self._plan = await self._service.threads.run(
            self._client, _plan, self._request, self._service
        )
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
        assert self._plan is not None
        submit = partial(bark.submit_segment, client=self._client)
        async with aclosing(encoder), aclosing(astream(self._plan, submit)) as speeches:
            async for speech in speeches:
                self._output_tokens += len(speech.semantic_tokens)
                chunk = await encoder.add(timeline.add(speech))
                self.audio_seconds = encoder.seconds
                yield chunk
            chunk = await encoder.finish()
            self.audio_seconds = encoder.seconds
            yield chunk

    def _usage(self) -> dict[str, int]:
        assert self._plan is not None
        input_tokens = sum(segment.tokens for segment in self._plan.segments)
        output_tokens = self._output_tokens
        return {
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
            "total_tokens": input_tokens + output_tokens,
        }


def _check(request: SpeechRequest, service: SpeechService) -> None:
    """Check what takes no time."""
    limit = service.settings.max_text_characters
    if len(request.input) > limit:
        raise ApiError(
            400,
            f"input has {len(request.input)} characters; expected at most {limit}",
            param="input",
            code="text_too_long",
        )
    service.check_model(request.model)


def _plan(request: SpeechRequest, service: SpeechService) -> StreamPlan:
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
