"""Requests of many lengths without a pause: memory of the device and the process must not grow."""

import re
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from meter import TEXT
from models import bundle_folder

from bark_onnx.runtime import Bark
from gpu.day import Day, Notes
from gpu.device import DeviceMemory

_WAITING = 32  # requests
_CANCELED = 0.1  # share
_SAMPLES = 24
_MOST_GROWTH_MB = {"device": 1.0, "process": 30.0}  # second half against first half


def run(day: Day, notes: Notes) -> None:
    """See the module."""
    rng, memory = np.random.default_rng(0), DeviceMemory()
    samples: dict[str, list[float]] = {"device": [], "process": []}
    counts = {"done": 0, "canceled": 0}
    with Bark.load(bundle_folder(day.sizes[0], ("fp32", "fp16")), provider="cuda") as bark:
        bark.speak_batch([TEXT] * 8, semantic_max_new_tokens=day.semantic_tokens, seed=0)
        futures: deque[Any] = deque()
        started = time.monotonic()
        while (elapsed := time.monotonic() - started) < day.soak_seconds:
            while len(futures) < _WAITING:
                tokens = int(rng.integers(5, max(6, day.semantic_tokens)))
                futures.append(
                    bark.submit(TEXT, seed=int(rng.integers(1000)), semantic_max_new_tokens=tokens)
                )
                if rng.random() < _CANCELED:
                    counts["canceled"] += futures.pop().cancel()
            futures.popleft().result()
            counts["done"] += 1
            if elapsed >= len(samples["device"]) * day.soak_seconds / _SAMPLES:
                samples["device"].append(memory.used_megabytes())
                samples["process"].append(_resident_megabytes())
        for future in futures:
            future.result()
        status = bark.engine_status()
    notes.add("requests", counts, expected="some are done", holds=counts["done"] > 0)
    notes.add("steps by stage", {name: each.steps for name, each in status.stages.items()})
    for name, values in samples.items():
        half = len(values) // 2
        notes.add(f"MB of the {name}", values)
        if half:
            growth = min(values[half:]) - min(values[:half])
            notes.below(f"growth of the {name}, MB", growth, _MOST_GROWTH_MB[name])


def _resident_megabytes() -> float:
    match = re.search(r"VmRSS:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert match is not None
    return int(match[1]) / 1024
