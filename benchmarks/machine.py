"""What the figures were measured on, and with how much memory."""

import os
import platform
import re
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("onnxruntime", "torch", "transformers", "openvino", "numpy")


def describe_machine() -> dict[str, Any]:
    """Processor, cores, versions and date."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def peak_megabytes() -> float:
    """Most memory that this process has held at once, mapped files that it touched included.

    From /proc: getrusage would count what the parent held before it started this process.
    """
    status = Path("/proc/self/status").read_text()
    match = re.search(r"VmHWM:\s*(\d+) kB", status)
    assert match is not None
    return int(match.group(1)) / 1024


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return platform.processor()
    match = re.search(r"model name\s*: (.*)", path.read_text())
    return match.group(1) if match else platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
