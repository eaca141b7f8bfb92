"""The tier of speakers as an ingress sees it: a segment goes to a replica, or to the next one."""

import asyncio
import dataclasses
from typing import Any

from ray.exceptions import (
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayTaskError,
    TaskCancelledError,
    WorkerCrashedError,
)
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from bark_onnx.graphs.errors import ClosedError, EngineError, joined_lines
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.cluster.replicas import count_replicas
from bark_onnx.runtime.engine.clients import Client
from bark_onnx.runtime.inference.pipeline import Request
from bark_onnx.runtime.server.logs import log

_RETRIES = 3  # of a segment whose replica died
_PAUSE_SECONDS = 0.2  # before the first of them, doubled for each further one
_FULL_SECONDS = 0.05  # between two tries where Ray's own queue is full

# A replica, its node or what it has said is lost: the segment can be said again.
_LOST = (
    RayActorError,  # died or unavailable
    WorkerCrashedError,
    NodeDiedError,
    OutOfMemoryError,
    ObjectLostError,
    ClosedError,
)


class Speakers:
    """Calls of speaker replicas.

    Args:
        handle: Handle of their deployment.

    Attributes:
        handle: The same.
    """

    def __init__(self, handle: Any) -> None:
        self.handle = handle

    async def say(self, request: Request, client: Client) -> Speech:
        """Have a segment said by a replica; by others, up to three, where it dies meanwhile.

        The seed of the segment makes every replica say the same.

        Raises:
            EngineError: All of these replicas died, or there are none.
            BarkError: The segment cannot be spoken.
        """
        # The provenance of the whole text would travel with each of its segments.
        sent = dataclasses.replace(request, provenance=None)
        for retry in range(_RETRIES + 1):
            try:
                speech = await self._say_once(sent, client)
                return dataclasses.replace(speech, provenance=request.provenance)
            except _LOST as error:
                lost = error
                fields = {"retry": retry + 1, "error": type(error).__name__}
                log.warning("speaker replica lost", extra={"fields": fields})
            if retry < _RETRIES:
                await asyncio.sleep(_PAUSE_SECONDS * 2**retry)
        raise EngineError(
            f"{_RETRIES + 1} speaker replicas died one after the other while they said a segment "
            f"({joined_lines(lost)[:200]}); Ray's logs have the causes"
        ) from lost

    async def _say_once(self, request: Request, client: Client) -> Speech:
        while True:
            response = self.handle.say.remote(request, client)
            try:
                found: Speech = await response
            except asyncio.CancelledError:
                response.cancel()  # wherever it waits or runs
                raise
            except TaskCancelledError as error:
                raise ClosedError("A speaker replica was ended") from error
            except BackPressureError:  # a limit of the deployment's configuration
                await asyncio.sleep(_FULL_SECONDS)
            except DeploymentUnavailableError as error:
                raise EngineError(
                    "The deployment of speakers has failed; see its status"
                ) from error
            except RayTaskError as error:
                raise _cause(error) from None
            else:
                return found

    async def count(self) -> int:
        """Number of replicas that take segments."""
        return await asyncio.to_thread(count_replicas, self.handle)


def _cause(error: RayTaskError) -> BaseException:
    """The error of a replica, without Ray's copy of its traceback in the message."""
    cause = error.cause
    return cause if isinstance(cause, BaseException) else error
