"""Connection of the process of a batch to Ray, and the machines of the cluster."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import ray
from ray.data import DataContext

from bark_onnx.graphs.errors import BatchError, first_line, system_reason
from bark_onnx.graphs.interrupts import raise_interrupts

LOCAL = "local"  # Ray's name for a new cluster on this machine

_STDERR_FD = 2
_ANSWER_SECONDS = 10
_LOGGERS = ("ray", "ray.data")


def connect(address: str, *, cpus: int) -> None:
    """Connect to a cluster, or start one.

    Args:
        address: Address of a cluster, or "local".
        cpus: CPUs that a cluster on this machine has at least, however few cores there are.

    Raises:
        BatchError: Ray cannot start, or no cluster answers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports usage by default
    # Its C++ code writes to this terminal; it ends the process if the cluster is lost.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    own: dict[str, Any] = {}
    if address == LOCAL:
        own = {"num_cpus": max(cpus, os.cpu_count() or 1), "include_dashboard": False}
    try:
        _check_port(address)  # Ray would wait for minutes
        with _without_stderr():
            ray.init(address, configure_logging=False, log_to_driver=False, **own)
    except Exception as error:  # Ray raises its own, and those of many libraries
        ray.shutdown()
        if address == LOCAL:
            raise BatchError(
                f"Ray cannot start on this machine ({first_line(error)}); the logs of its last "
                "session have the cause"
            ) from error
        raise BatchError(
            f"No Ray cluster answers at {address} ({system_reason(error)}); expected HOST:PORT of "
            "a cluster to which this machine belongs, auto, or local"
        ) from error
    raise_interrupts()  # Ray has taken the handler of SIGTERM
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = 1  # a row returns as soon as it has ended
    context.max_errored_blocks = -1  # one row does not end the batch


def _check_port(address: str) -> None:
    """Check that something listens at HOST:PORT.

    Raises:
        OSError: Nothing does.
    """
    host, _, port = address.rpartition(":")
    if port.isdigit():
        socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS).close()


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Drop what Ray's C++ code says of its settings."""
    kept, null = os.dup(_STDERR_FD), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, _STDERR_FD)
    try:
        yield
    finally:
        os.dup2(kept, _STDERR_FD)
        os.close(kept)
        os.close(null)


@contextmanager
def without_stdout() -> Iterator[None]:
    """Drop what threads of Ray print about workers that died, and that it repeats."""
    with Path(os.devnull).open("w") as null, redirect_stdout(null):
        yield


def smallest_node() -> int:
    """CPUs of the machine with the fewest, of those that have any."""
    cpus = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
    return max(1, int(min((count for count in cpus if count), default=1)))
