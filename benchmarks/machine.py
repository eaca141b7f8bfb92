"""Description of the machine of a measurement, and memory use."""

import os
import platform
import re
import shutil
import subprocess
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("onnxruntime", "onnxruntime-gpu", "torch", "transformers", "openvino", "numpy")


def describe_machine() -> dict[str, Any]:
    """Processor, cores, versions and date."""
    gpu = query_gpu("name")
    return {
        "processor": _processor(),
        **({"gpu": gpu} if gpu else {}),
        "cores": len(os.sched_getaffinity(0)),
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def peak_megabytes(process: int | None = None) -> float:
    """Peak memory of a process, including the mapped files that it has read.

    From /proc: getrusage would include the memory of the parent before it started this process.

    Args:
        process: Process id; None for this process.
    """
    status = Path(f"/proc/{process or 'self'}/status").read_text()
    match = re.search(r"VmHWM:\s*(\d+) kB", status)
    assert match is not None
    return int(match.group(1)) / 1024


def process_tree(process: int) -> list[int]:
    """A process and all that it has started, directly or not, and that still run."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        children.setdefault(int(fields[1]), []).append(int(folder.name))
    found = [process]
    for each in found:
        found += children.get(each, [])
    return found


def device_megabytes() -> float:
    """Memory in use on the first GPU; no engine frees any before it ends."""
    used = query_gpu("memory.used")
    assert used is not None, "nvidia-smi failed"
    return float(used)


def query_gpu(property_: str) -> str | None:
    """Property of the first GPU from nvidia-smi; None without a GPU."""
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
