"""Starts Ray and the speakers for `bark-onnx serve --ray`, and ends what was started."""

import dataclasses
import logging
import os
import secrets
from collections.abc import Callable
from typing import Any

import ray
from ray import serve
from ray.serve.api import RunTarget
from ray.util import list_named_actors

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.errors import OptionsError, ServerError, first_line
from bark_onnx.runtime.cluster.application import speaker_application
from bark_onnx.runtime.cluster.connection import connect, ended_early
from bark_onnx.runtime.cluster.processes import bundle_everywhere
from bark_onnx.runtime.cluster.remote_bark import RemoteBark
from bark_onnx.runtime.cluster.settings import SpeakerSettings

_STARTS = 3  # tries to start a cluster
_LOCAL = "local"  # Ray's name for a new cluster on this machine
_SERVE_NAMESPACE = "serve"  # of Ray Serve's own actors
_LOGGERS = ("ray", "ray.serve", "ray.data")


def start_cluster(
    settings: SpeakerSettings,
    *,
    address: str | None,
    threads: int | None,
    should_stop: Callable[[], bool],
) -> RemoteBark:
    """Start speakers, and wait until one is warm. `close` of the result ends them.

    Args:
        settings: Settings of the speakers, whose CPUs and GPUs are chosen here.
        address: Address of a running cluster, or "auto"; None starts one on this machine.
        threads: CPUs of a replica; None: an equal part of those that there are.
        should_stop: Function that returns whether to give up.

    Raises:
        ServerError: No cluster answers at the address, or the speakers cannot start.
        ClosedError: `should_stop` returned True.
        BarkError: The bundle cannot be opened.
    """
    bundle = Bundle(settings.bundle)
    cluster = _Cluster(address, cpus=settings.most_replicas * (threads or 1))
    try:
        if should_stop():
            raise ended_early()
        settings = dataclasses.replace(
            settings,
            bundle=bundle_everywhere(bundle),
            num_cpus=threads or _cpus_of_a_replica(settings.most_replicas),
            num_gpus=0.0 if settings.provider == "cpu" else _gpus_of_a_replica(settings),
        )
        handle = cluster.deploy(settings)
        return connect(bundle, settings, handle, should_stop=should_stop, on_close=cluster.close)
    except BaseException:
        cluster.close()
        raise


class _Cluster:
    """Connection of this process to Ray.

    Args:
        address: Address of a running cluster; None starts one on this machine.
        cpus: CPUs that a cluster on this machine has at least, however few cores there are.
    """

    def __init__(self, address: str | None, *, cpus: int) -> None:
        self._name = f"bark-onnx-{secrets.token_hex(4)}"  # others may serve in the same cluster
        self._is_own = address is None
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        _connect(address, cpus)
        names = list_named_actors(all_namespaces=True)
        self._has_started_serve = _SERVE_NAMESPACE not in {each["namespace"] for each in names}

    def deploy(self, settings: SpeakerSettings) -> Any:
        """Deploy the speakers without waiting for them; returns their handle."""
        if self._has_started_serve:
            serve.start(proxy_location="Disabled")
        target = RunTarget(speaker_application(settings), name=self._name, route_prefix=None)
        (handle,) = serve.run_many([target], wait_for_applications_running=False)
        return handle

    def close(self) -> None:
        """End the speakers, and all of Ray that was started for them."""
        if not self._is_own:
            if self._has_started_serve and len(serve.status().applications) <= 1:
                serve.shutdown()
            else:
                serve.delete(self._name)
        ray.shutdown()


def _connect(address: str | None, cpus: int) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports usage by default
    own: dict[str, Any] = {"num_cpus": max(cpus, os.cpu_count() or 1), "include_dashboard": False}
    settings = {"configure_logging": False, "log_to_driver": False}
    if address is not None:
        try:
            ray.init(address, **settings)
        except Exception as error:  # Ray raises that of its own and of many libraries
            raise ServerError(
                f"No Ray cluster answers at {address} ({first_line(error)}); expected HOST:PORT of "
                "a cluster to which this machine belongs, or auto"
            ) from error
        return
    for attempt in range(1, _STARTS + 1):
        try:
            ray.init(_LOCAL, **settings, **own)
        except Exception as error:  # on a busy machine, its processes need more than its 30 s
            ray.shutdown()
            if attempt == _STARTS:
                raise ServerError(
                    f"Ray cannot start on this machine ({first_line(error)}); the logs of its last "
                    "session have the cause"
                ) from error
        else:
            return


def check_address(address: str) -> None:
    """Check the address of a cluster before anything starts.

    Raises:
        OptionsError: It is that of a Ray client, through which no segments can travel.
    """
    if "://" in address:
        raise OptionsError(
            f"ray_address is {address!r}, expected HOST:PORT of a cluster to which this machine "
            "belongs, or auto"
        )


def _cpus_of_a_replica(replicas: int) -> int:
    """An equal part of all CPUs, that fits into every node that has any."""
    nodes = [node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]]
    cpus = [count for count in nodes if count]
    return max(int(min(sum(cpus) / replicas, *cpus)), 1)


def _gpus_of_a_replica(settings: SpeakerSettings) -> float:
    """One GPU, or a part of one where there are fewer than replicas."""
    gpus: float = ray.cluster_resources().get("GPU", 0.0)
    return min(gpus / settings.most_replicas, 1.0)
