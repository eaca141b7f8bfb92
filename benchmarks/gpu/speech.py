"""Seconds of audio a second, from one sequence to many, and how busy the GPU is."""

import time
from typing import Any

from gpu_expectation import FACTOR, expected_rate, find_gpu
from machine import query_gpu
from meter import TEXT
from models import bundle_folder

from bark_onnx.runtime import Bark
from gpu.day import Day, Notes
from gpu.device import watch_utilization


def run(day: Day, notes: Notes, size: str) -> None:
    """See the module."""
    gpu = find_gpu(query_gpu("name"))
    folder = bundle_folder(size, ("fp32", "fp16"))
    started = time.perf_counter()
    with Bark.load(folder, provider="cuda", max_batch_size=max(day.batch_sizes)) as bark:
        notes.add(f"seconds to load {size}", time.perf_counter() - started)
        for count in day.batch_sizes:
            first = _rate(bark, day, count)["rate"]
            with watch_utilization() as utilization:
                found = _rate(bark, day, count)
            name = f"audio seconds a second, {size}, {count} sequences"
            expected = expected_rate(gpu, size, count) if gpu else None
            notes.add(
                name,
                found["rate"],
                expected=f"{expected:.3g}, at least a {FACTOR:g}th of it" if expected else "",
                holds=found["rate"] >= expected / FACTOR if expected else None,
            )
            notes.add(f"first time, {name}", first)
            notes.add(f"stage seconds, {size}, {count} sequences", found["stages"])
            busy = utilization.mean()
            if busy is not None:
                notes.add(f"percent of time with a kernel, {size}, {count} sequences", busy)


def _rate(bark: Bark, day: Day, count: int) -> dict[str, Any]:
    """Audio seconds a second of some sequences, sampled as Suno does, and when stages ended."""
    ends: dict[str, float] = {}
    started = time.perf_counter()

    def note(stage: str, done: int, total: int) -> None:
        ends[stage] = time.perf_counter() - started

    speeches = bark.speak_batch(
        [TEXT] * count,
        seed=list(range(count)),
        semantic_max_new_tokens=day.semantic_tokens,
        on_progress=note,
    )
    seconds = time.perf_counter() - started
    audio = sum(len(speech.samples) / speech.sample_rate_hz for speech in speeches)
    return {"rate": audio / seconds, "stages": ends}
