"""The two tiers of the cluster: health, readiness and metrics of their processes."""

import os
import socket
from collections.abc import Callable
from typing import Any

from bark_onnx.runtime.cluster.remote_bark import RemoteBark
from bark_onnx.runtime.cluster.replicas import broadcast
from bark_onnx.runtime.server.errors import ApiError
from bark_onnx.runtime.server.metrics import Metrics
from bark_onnx.runtime.server.tiers import Part

INGRESS, SPEAKER = "ingress", "speaker"  # names of the tiers and of their deployments

_ANSWER_SECONDS = 5.0  # that a replica has for its metrics
_RETRY_SECONDS = 5  # until a replica has been replaced


class SpeakerTier:
    """The speaker replicas.

    Args:
        bark: Function that returns the connection to them, or raises ApiError before there is one.
    """

    def __init__(self, bark: Callable[[], RemoteBark]) -> None:
        self._bark = bark

    async def check_health(self) -> None:
        """Raise ApiError unless a replica answers."""
        if not await broadcast(self._bark().handle, "describe", seconds=_ANSWER_SECONDS):
            raise _no_speaker()

    def check_ready(self) -> None:
        """Raise ApiError while no replica takes segments."""
        if not self._bark().replicas:
            raise _no_speaker()

    async def metrics(self) -> list[Part]:
        """Metrics of every replica."""
        return await _metrics_of(self._bark().handle)


class IngressTier:
    """The processes that receive requests.

    Args:
        check_ready: Function that raises ApiError while this process takes no speech requests.
        metrics: Metrics of this process.
        application: Function that returns the name of the application.
        handle: Function that returns the handle of the ingress deployment; None: this process is
            the only ingress, outside of Ray.
    """

    def __init__(
        self,
        *,
        check_ready: Callable[[], None],
        metrics: Metrics,
        application: Callable[[], str],
        handle: Callable[[], Any] | None,
    ) -> None:
        self._check_ready = check_ready
        self._metrics = metrics
        self._application = application
        self._handle = handle

    async def check_health(self) -> None:
        """Do nothing: this process answers."""

    def check_ready(self) -> None:
        """Raise ApiError while this process takes no speech requests."""
        self._check_ready()

    async def metrics(self) -> list[Part]:
        """Metrics of every ingress."""
        if self._handle is not None:
            return await _metrics_of(self._handle())
        labels = {
            "application": self._application(),
            "deployment": INGRESS,
            "replica": f"{socket.gethostname()}:{os.getpid()}",
        }
        return [(labels, self._metrics.families())]


async def _metrics_of(handle: Any) -> list[Part]:
    labels = {"application": handle.app_name, "deployment": handle.deployment_name}
    found = await broadcast(handle, "metrics", seconds=_ANSWER_SECONDS)
    return [({**labels, "replica": name}, families) for name, families in found]


def _no_speaker() -> ApiError:
    return ApiError(
        503, "No speaker replica is ready", code="not_ready", retry_seconds=_RETRY_SECONDS
    )
