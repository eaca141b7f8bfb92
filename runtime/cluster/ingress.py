"""Ingress replica: the server's routes in a process of Ray Serve, behind Ray's proxies."""

from functools import partial
from typing import Any

from ray import serve

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.runtime.cluster.connection import connect
from bark_onnx.runtime.cluster.replicas import replica_id
from bark_onnx.runtime.cluster.service import ClusterService
from bark_onnx.runtime.cluster.settings import SpeakerSettings
from bark_onnx.runtime.cluster.tiers import INGRESS
from bark_onnx.runtime.server.app import create_app
from bark_onnx.runtime.server.logs import configure_logs
from bark_onnx.runtime.server.metrics import MetricFamily
from bark_onnx.runtime.server.settings import ServerSettings

_ANY_ADDRESS = "0.0.0.0"  # noqa: S104 (the address that Ray's proxies listen on is their own matter)


class Ingress:
    """Checks, splits, encodes and streams; speakers say the segments.

    Args:
        settings: Settings of the server.
        speaker_settings: Settings of the speakers.
        speakers: Handle of their deployment.

    Raises:
        BarkError: The bundle cannot be opened.
    """

    def __init__(
        self, settings: ServerSettings, speaker_settings: SpeakerSettings, speakers: Any
    ) -> None:
        configure_logs("info")
        bundle = Bundle(speaker_settings.bundle)
        application = serve.get_replica_context().app_name
        self._service = ClusterService(
            settings,
            partial(connect, bundle, speaker_settings, speakers),
            ingresses=lambda: serve.get_deployment_handle(INGRESS, application),
        )

    def __serve_build_asgi_app__(self) -> Any:
        """The application that Ray calls, once a speaker is warm."""
        return create_app(self._service, host=_ANY_ADDRESS, loads_first=True)

    async def metrics(self) -> tuple[str, list[MetricFamily]]:
        """Id of this replica, and what it has counted."""
        return replica_id(), self._service.metrics.families()
