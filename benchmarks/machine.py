"""What the figures were measured on, and with how much memory."""

import os
import platform
import re
import shutil
import subprocess
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("onnxruntime", "torch", "transformers", "openvino", "numpy")


def describe_machine() -> dict[str, Any]:
    """Processor, cores, versions and date."""
    gpu = _ask_gpu("name")
    return {
        "processor": _processor(),
        **({"gpu": gpu} if gpu else {}),
        "cores": len(os.sched_getaffinity(0)),
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def peak_megabytes(process: int | None = None) -> float:
    """Most memory that a process has held at once, mapped files that it touched included.

    From /proc: getrusage would count what the parent held before it started this process.

    Args:
        process: its number; None: this one.
    """
    status = Path(f"/proc/{process or 'self'}/status").read_text()
    match = re.search(r"VmHWM:\s*(\d+) kB", status)
    assert match is not None
    return int(match.group(1)) / 1024


def device_megabytes() -> float:
    """Memory of the first GPU that is taken; neither engine gives any back before it ends."""
    used = _ask_gpu("memory.used")
    assert used is not None, "nvidia-smi does not answer"
    return float(used)


def _ask_gpu(property_: str) -> str | None:
    """What nvidia-smi says of the first GPU; None without one."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return None
    query = [command, f"--query-gpu={property_}", "--format=csv,noheader,nounits"]
    found = subprocess.run(query, capture_output=True, text=True, check=False)
    return found.stdout.splitlines()[0].strip() if found.returncode == 0 else None


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
