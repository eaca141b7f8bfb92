"""Tiers of a server of several processes: each with its own health, readiness and metrics."""

from collections.abc import Mapping
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Depends, Path, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from bark_onnx.runtime.server.errors import ApiError, quoted
from bark_onnx.runtime.server.metrics import MetricFamily, joined_text
from bark_onnx.runtime.server.schema import ErrorBody, Status

Part = tuple[Mapping[str, str], list[MetricFamily]]  # labels and metrics of one process

tier_router = APIRouter()

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody, "description": description}
    for status, description in ((404, "Not Found"), (503, "Service Unavailable"))
}


class Tier(Protocol):
    """Processes of one kind."""

    async def check_health(self) -> None:
        """Raise ApiError unless a process of the tier answers."""

    def check_ready(self) -> None:
        """Raise ApiError unless a process of the tier takes requests."""

    async def metrics(self) -> list[Part]:
        """Metrics of every process."""


def _tier(request: Request, tier: Annotated[str, Path(description="ingress or speaker.")]) -> Tier:
    tiers: Mapping[str, Tier] = request.app.state.service.tiers
    if tier not in tiers:
        raise ApiError(404, f"Tier {quoted(tier)} not found; expected {' or '.join(tiers)}")
    return tiers[tier]


Named = Annotated[Any, Depends(_tier)]


@tier_router.get(
    "/health/{tier}", summary="Check a tier's liveness", tags=["operations"], responses=_ERRORS
)
async def tier_health(tier: Named) -> Status:
    """Ok while a process of the tier answers."""
    await tier.check_health()
    return Status(status="ok")


@tier_router.get(
    "/ready/{tier}", summary="Check a tier's readiness", tags=["operations"], responses=_ERRORS
)
async def tier_ready(tier: Named) -> Status:
    """Ready while a process of the tier takes requests."""
    tier.check_ready()
    return Status(status="ready")


@tier_router.get(
    "/metrics/{tier}",
    summary="Metrics of a tier",
    tags=["operations"],
    response_class=Response,
    responses=_ERRORS,
)
async def tier_metrics(tier: Named) -> Response:
    """Metrics of every process of the tier, with Ray's labels, for Prometheus."""
    return Response(joined_text(await tier.metrics()), media_type=CONTENT_TYPE_LATEST)
