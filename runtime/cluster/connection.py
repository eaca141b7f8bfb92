"""Waits until a speaker replica is warm, and connects to all of them."""

from collections.abc import Callable
from typing import Any

from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.errors import ClosedError, ServerError
from bark_onnx.runtime.cluster.processes import reported_error
from bark_onnx.runtime.cluster.remote_bark import RemoteBark
from bark_onnx.runtime.cluster.remote_engine import RemoteEngine
from bark_onnx.runtime.cluster.settings import SpeakerSettings
from bark_onnx.runtime.cluster.speaker import SpeakerInfo
from bark_onnx.runtime.cluster.speakers import Speakers

_POLL_SECONDS = 0.5
_FAILED = ("DEPLOY_FAILED", "UNHEALTHY")
_NO_REPORT = "Ray's logs have the cause"


def connect(
    bundle: Bundle,
    settings: SpeakerSettings,
    handle: Any,
    *,
    should_stop: Callable[[], bool],
    on_close: Callable[[], object] = lambda: None,
) -> RemoteBark:
    """Wait for the first warm replica.

    Args:
        bundle: The bundle, opened here for its tokenizer and voices.
        settings: Settings of the speakers.
        handle: Handle of their deployment.
        should_stop: Function that returns whether to give up.
        on_close: Called when the result is closed.

    Raises:
        ServerError: The speakers cannot start.
        ClosedError: `should_stop` returned True.
    """
    info = _first_answer(handle, should_stop)
    engine = RemoteEngine(Speakers(handle), places=settings.places)
    return RemoteBark(bundle, engine, info, on_close=on_close)


def _first_answer(handle: Any, should_stop: Callable[[], bool]) -> SpeakerInfo:
    response = handle.describe.remote()
    while not should_stop():
        try:
            info: SpeakerInfo = response.result(timeout_s=_POLL_SECONDS)
        except TimeoutError:
            _check_deployment(handle)
        except (RayError, RayServeException):  # a replica that died, or a deployment that failed
            _check_deployment(handle)
            response = handle.describe.remote()
        else:
            return info
    response.cancel()
    raise ended_early()


def ended_early() -> ClosedError:
    """Error of a start that was given up."""
    return ClosedError("The server was ended before a speaker replica was ready")


def _check_deployment(handle: Any) -> None:
    application = serve.status().applications.get(handle.app_name)
    deployment = application and application.deployments.get(handle.deployment_name)
    if deployment and deployment.status in _FAILED:
        reason = reported_error(deployment.message, _NO_REPORT)
        raise ServerError(f"The speaker replicas cannot start: {reason}")
