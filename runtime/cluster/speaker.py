"""Speaker replica: one `Bark` with its continuous batching, in a process of Ray Serve.

Knows nothing of requests, texts longer than a segment, or other replicas.
"""

import asyncio
import os
from dataclasses import dataclass

import ray

from bark_onnx.graphs.errors import ClosedError, EngineError
from bark_onnx.graphs.onnxruntime import import_onnxruntime
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.bark import Bark
from bark_onnx.runtime.cluster.replicas import replica_id
from bark_onnx.runtime.cluster.settings import SpeakerSettings
from bark_onnx.runtime.engine.clients import Client
from bark_onnx.runtime.engine.status import BarkInfo
from bark_onnx.runtime.inference.pipeline import Request
from bark_onnx.runtime.inference.thread_pool import use_global_thread_pool
from bark_onnx.runtime.options.generation import GenerationOptions
from bark_onnx.runtime.server.metrics import EngineMetrics, MetricFamily

_WARM_UP = GenerationOptions.greedy().replace(semantic_max_new_tokens=60)
_END_SECONDS = 0.2  # until a replica whose engine has died ends, so that its answers are sent


@dataclass(frozen=True)
class SpeakerInfo:
    """What an ingress needs to know of the speakers."""

    bark: BarkInfo
    onnxruntime_version: str


class Speaker:
    """One `Bark`, which says segments.

    The threads and the provider follow what Ray has assigned to the replica. The replica takes
    segments once it has loaded and, if `warms_up`, spoken.

    Args:
        settings: Settings of all speakers.

    Raises:
        BarkError: The bundle cannot be loaded.
    """

    def __init__(self, settings: SpeakerSettings) -> None:
        assigned = _assigned(settings)
        provider = settings.provider
        if provider == "auto" and not assigned["GPU"]:
            provider = "cpu"  # a machine may have GPUs that belong to others
        self._metrics = EngineMetrics()
        use_global_thread_pool()
        self._bark = Bark.load(
            settings.bundle,
            provider=provider,
            precision=settings.precision,
            threads=max(int(assigned["CPU"]), 1),
            low_memory=settings.low_memory,
            max_batch_size=settings.max_batch_size,
        )
        if settings.warms_up:
            self._bark.speak("Hello", options=_WARM_UP)
        self._bark.add_observer(self._metrics)
        self._metrics.watch(self._bark.engine_status)

    async def say(self, request: Request, client: Client) -> Speech:
        """Generate the speech of a segment; a call that is cancelled leaves the batch.

        Raises:
            ClosedError: This replica cannot speak any more; another one can.
            BarkError: The segment cannot be spoken.
        """
        try:
            (future,) = self._bark.submit_requests([request], client=client)
            return await asyncio.wrap_future(future)
        except EngineError:
            self.check_health()
            raise

    async def describe(self) -> SpeakerInfo:
        """What this replica has loaded."""
        return SpeakerInfo(self._bark.describe(), str(import_onnxruntime().__version__))

    async def metrics(self) -> tuple[str, list[MetricFamily]]:
        """Id of this replica, and what its engine has counted."""
        return replica_id(), self._metrics.families()

    def check_health(self) -> None:
        """Check that the engine lives; Ray calls this, and replaces a replica that fails.

        Raises:
            ClosedError: The engine has died. The process ends soon, since a replica that fails at
                once would look like the one with the least to do.
        """
        try:
            self._bark.submit_requests([])
        except EngineError as error:
            asyncio.get_running_loop().call_later(_END_SECONDS, os._exit, 1)
            raise ClosedError(f"The engine of a speaker replica has ended ({error})") from error

    def __del__(self) -> None:
        if hasattr(self, "_bark"):
            self._bark.close()


def _assigned(settings: SpeakerSettings) -> dict[str, float]:
    """CPUs and GPUs of this replica, which a deployment's configuration may have changed."""
    expected = {"CPU": float(settings.num_cpus), "GPU": settings.num_gpus}
    if not ray.is_initialized():  # Ray Serve's local testing mode
        return expected
    return {"CPU": 0.0, "GPU": 0.0, **ray.get_runtime_context().get_assigned_resources()}
