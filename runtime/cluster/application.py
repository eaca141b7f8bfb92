"""The application of Ray Serve: an ingress deployment before a deployment of speaker replicas."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from ray import serve
from ray.serve import Application
from ray.serve.config import AutoscalingConfig

from bark_onnx.graphs.errors import OptionsError
from bark_onnx.runtime.cluster.ingress import Ingress
from bark_onnx.runtime.cluster.settings import (
    DOWNSCALING_FACTOR,
    TARGET_SHARE,
    SpeakerSettings,
)
from bark_onnx.runtime.cluster.speaker import Speaker
from bark_onnx.runtime.cluster.tiers import INGRESS, SPEAKER
from bark_onnx.runtime.server.settings import ServerSettings

_AHEAD = 2  # batches of segments that a replica takes: one that it decodes, and one that waits
_INGRESS_REPLICAS = "ingress_replicas"
_MODEL_ID = "model_id"
_DEMO = "demo"


def speaker_application(settings: SpeakerSettings) -> Application:
    """The deployment of speaker replicas alone, for an ingress in a process of its own."""
    return _speakers(settings)


def app(arguments: Mapping[str, Any]) -> Application:
    """The whole application: `serve run bark_onnx.runtime.cluster:app bundle=FOLDER replicas=4`.

    Args:
        arguments: Fields of `SpeakerSettings` and `ServerSettings` by name, and
            `ingress_replicas`; without `bundle`, the demo is served.

    Raises:
        OptionsError: A name is unknown, or a value invalid.
    """
    given = dict(arguments)
    count = _parsed(int, given.pop(_INGRESS_REPLICAS, 1), _INGRESS_REPLICAS)
    if count < 1:
        raise OptionsError(f"{_INGRESS_REPLICAS} is {count}, expected an integer from 1")
    known = {*_names(SpeakerSettings), *_names(ServerSettings), _INGRESS_REPLICAS}
    if unknown := sorted(given.keys() - known):
        raise OptionsError(
            f"The application has no argument {unknown[0]!r}; expected {', '.join(sorted(known))}"
        )
    given.setdefault("bundle", _DEMO)
    given.setdefault(_MODEL_ID, Path(str(given["bundle"])).name)
    speakers = _settings(SpeakerSettings, given)
    server = _settings(ServerSettings, given)
    ingress = serve.deployment(
        name=INGRESS,
        num_replicas=count,
        max_ongoing_requests=server.max_connections,
        graceful_shutdown_timeout_s=server.shutdown_seconds,
        ray_actor_options={"num_cpus": 0},  # it computes little, and must find room beside speakers
    )(serve.ingress()(Ingress))
    return ingress.bind(server, speakers, _speakers(speakers))


def _speakers(settings: SpeakerSettings) -> Application:
    scale: dict[str, Any] = {"num_replicas": settings.replicas}
    if settings.most_replicas > settings.replicas:
        scale = {
            "autoscaling_config": AutoscalingConfig(
                min_replicas=settings.replicas,
                initial_replicas=settings.replicas,
                max_replicas=settings.most_replicas,
                target_ongoing_requests=TARGET_SHARE * settings.max_batch_size,
                downscaling_factor=DOWNSCALING_FACTOR,
            )
        }
    deployment = serve.deployment(
        name=SPEAKER,
        max_ongoing_requests=_AHEAD * settings.max_batch_size,
        graceful_shutdown_timeout_s=settings.shutdown_seconds,
        ray_actor_options={"num_cpus": settings.num_cpus, "num_gpus": settings.num_gpus},
        **scale,
    )(Speaker)
    return deployment.bind(settings)


def _names(kind: type) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def _settings(kind: Any, given: Mapping[str, Any]) -> Any:
    """Settings of a kind from the arguments that it has; texts of a command line are converted."""
    fields = {name: value for name, value in given.items() if name in _names(kind)}
    return _parsed(kind, fields, kind.__name__)


def _parsed(kind: Any, value: Any, what: str) -> Any:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or what
        raise OptionsError(f"{name}: {first['msg']}, found {first['input']!r}") from error
