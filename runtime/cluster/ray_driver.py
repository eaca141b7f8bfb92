"""Connection of the process of a batch to Ray, which writes to no terminal, and its machines."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import ray
from ray.data import DataContext

from bark_onnx.graphs.errors import BatchError, first_line
from bark_onnx.graphs.interrupts import raise_interrupts

LOCAL = "local"  # Ray's name for a new cluster on this machine

_STDERR_FD, _ESCAPES = 2, "backslashreplace"
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
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    own: dict[str, Any] = {}
    if address == LOCAL:
        own = {"num_cpus": max(cpus, os.cpu_count() or 1), "include_dashboard": False}
    try:
        ray.init(address, configure_logging=False, log_to_driver=False, **own)
    except Exception as error:  # Ray raises its own, and those of many libraries
        ray.shutdown()
        if address == LOCAL:
            raise BatchError(
                f"Ray cannot start on this machine ({first_line(error)}); the logs of its last "
                "session have the cause"
            ) from error
        raise BatchError(
            f"No Ray cluster answers at {address} ({first_line(error)}); expected HOST:PORT of a "
            "cluster to which this machine belongs, auto, or local"
        ) from error
    raise_interrupts()  # Ray has taken the handler of SIGTERM
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = 1  # a row returns as soon as it has ended
    context.max_errored_blocks = -1  # one row does not end the batch


@contextmanager
def without_messages_of_ray() -> Iterator[None]:
    """Drop what Ray prints: its C++ code on standard error, its threads on standard output.

    Python goes on writing to standard error.
    """
    kept = os.fdopen(os.dup(_STDERR_FD), "w", encoding=sys.stderr.encoding, errors=_ESCAPES)
    with kept, Path(os.devnull).open("w") as null, redirect_stderr(kept), redirect_stdout(null):
        os.dup2(null.fileno(), _STDERR_FD)
        try:
            yield
        finally:
            os.dup2(kept.fileno(), _STDERR_FD)


def smallest_node() -> int:
    """CPUs of the machine with the fewest, of those that have any."""
    cpus = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
    return max(1, int(min((count for count in cpus if count), default=1)))
