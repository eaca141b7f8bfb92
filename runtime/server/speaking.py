"""The one place that talks to the engine: pieces of a text go in, speech comes out in order."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from bark_onnx.graphs.errors import QueueFullError
from bark_onnx.runtime import Bark, GenerationOptions, Speech
from bark_onnx.runtime.engine.future import SpeechFuture
from bark_onnx.runtime.seeds import segment_seed
from bark_onnx.runtime.text.segments import Segment
from bark_onnx.runtime.voices.library import VoiceLike

_FULL_PAUSE_SECONDS = 0.05  # until a request that has begun asks a full queue again


@dataclass(frozen=True)
class Order:
    """A text to say."""

    pieces: tuple[Segment, ...]
    voice: VoiceLike
    seed: int
    options: GenerationOptions


async def say(bark: Bark, order: Order, *, at_once: int) -> AsyncGenerator[Speech]:
    """Say a text piece by piece, in order.

    Pieces are in the engine together, so that they share its steps. Where no voice was asked for,
    the first piece that says anything lends its own to those after it. Closing the generator
    cancels what is left.

    Args:
        bark: who speaks.
        order: what to say.
        at_once: pieces in the engine at most.

    Raises:
        QueueFullError: the engine takes nothing more; nothing was said.
        BarkError: a piece cannot be said.
    """
    voice = bark.voice(order.voice)  # loaded once: all pieces have the same, whatever happens
    flying: deque[tuple[SpeechFuture, asyncio.Future[Speech]]] = deque()
    submitted = 0
    try:
        for _ in order.pieces:
            # 1. Hand over as many pieces as may be there.
            most = 1 if voice is None else at_once
            while submitted < len(order.pieces) and len(flying) < most:
                try:
                    job = bark.submit(
                        order.pieces[submitted].text,
                        voice=voice,
                        seed=segment_seed(order.seed, submitted),
                        options=order.options,
                    )
                except QueueFullError:
                    if submitted == 0:
                        raise
                    if flying:
                        break
                    await asyncio.sleep(_FULL_PAUSE_SECONDS)
                else:
                    flying.append((job, _result_of(job)))
                    submitted += 1
            # 2. Wait for the next in order.
            speech = await flying[0][1]
            flying.popleft()
            if voice is None and len(speech.semantic_tokens):
                voice = speech.to_voice()
            yield speech
    finally:
        for job, result in flying:
            job.cancel()
            result.cancel()


def _result_of(job: SpeechFuture) -> asyncio.Future[Speech]:
    """The job's end as a future of the running loop."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Speech] = loop.create_future()

    def settle() -> None:
        if future.done():
            return
        try:
            future.set_result(job.result(timeout=0))
        except Exception as error:  # whatever it is, it is the waiting request's
            future.set_exception(error)

    def wake(_: object) -> None:
        loop.call_soon_threadsafe(settle)

    job.add_done_callback(wake)
    return future
