"""Memory of the device by stage, with all stages loaded and with low memory.

An arena keeps what its largest run took, so that what is in use behind a run is its peak.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from meter import TEXT
from models import bundle_folder

from bark_onnx.graphs.contract import STAGES, Stage
from bark_onnx.runtime import Bark
from bark_onnx.runtime.inference.models import StageModels
from gpu.day import Day, Notes
from gpu.device import DeviceMemory
from gpu.parts import LOW_MEMORY


def run(day: Day, notes: Notes, size: str, batch: str, mode: str) -> None:
    """See the module. A process of its own: caches stay in an arena of the process."""
    for what, megabytes in peaks(size, mode == LOW_MEMORY, int(batch), day).items():
        notes.add(f"MB, {size}, {batch} sequences, {mode}, {what}", megabytes)


def peaks(size: str, low_memory: bool, batch: int, day: Day) -> dict[str, float]:
    """MB above what was in use before, after the load and behind the runs of each stage."""
    memory = DeviceMemory()
    folder = bundle_folder(size, ("fp32", "fp16"))
    gc.collect()
    before = memory.used_megabytes()
    found: dict[str, float] = dict.fromkeys(("loaded", *STAGES), 0.0)

    def note(what: str) -> None:
        found[what] = max(found[what], memory.used_megabytes() - before)

    with (
        patch.object(StageModels, "acquire", _noted(StageModels.acquire, note)),
        Bark.load(
            folder,
            provider="cuda",
            low_memory=low_memory,
            max_batch_size=batch,
            verify=False,
        ) as bark,
    ):
        note("loaded")
        bark.speak_batch([TEXT] * batch, seed=0, semantic_max_new_tokens=day.semantic_tokens)
    return found


def _noted(acquire: Any, note: Any) -> Any:
    @contextmanager
    def noted(models: StageModels, stage: Stage) -> Iterator[Any]:
        with acquire(models, stage) as model:
            yield model
            note(stage)

    return noted
