"""What the figures were measured on."""

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
