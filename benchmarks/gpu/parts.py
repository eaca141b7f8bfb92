"""The parts of the day in their order: questions, limits of time, environments."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gpu.day import Day


@dataclass(frozen=True)
class Part:
    """A question, answered in a process of its own."""

    name: str
    module: str  # has `run(day, notes, *arguments)`
    limit_seconds: float  # its share of a day of `DAY_SECONDS`
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


DAY_SECONDS = 25 * 60
ALL_LOADED, LOW_MEMORY = "all loaded", "low memory"

# Settings of sessions that differ from the product's, and the environment of each.
TIMINGS: dict[str, dict[str, str]] = {
    "as they are": {},
    "cuDNN attention": {},
    "searched convolutions": {},
    "without XQA": {"ORT_ENABLE_XQA": "0"},
}


def parts_of(day: Day) -> tuple[Part, ...]:
    """All parts, with those of each size."""
    first, *others = day.sizes
    shares = 1.0 / len(day.sizes)
    return (
        Part("system", "gpu.system", 20),
        Part("bundles", "gpu.bundles", 240),
        Part("placement", "gpu.placement", 50),
        Part("kernels", "gpu.kernels", 40, environment=_KERNEL_NAMES),
        Part("steps", "gpu.steps", 70),
        Part("tests, TF32 off", "gpu.suite", 75, environment={"NVIDIA_TF32_OVERRIDE": "0"}),
        Part("tests", "gpu.suite", 75),
        *(
            Part(f"timings, {setting}", "gpu.timings", 40, (first, setting), environment)
            for setting, environment in TIMINGS.items()
        ),
        *(
            Part(f"timings of {size}", "gpu.timings", 40 / len(others), (size, "as they are"))
            for size in others
        ),
        *(Part(f"speech of {size}", "gpu.speech", 200 * shares, (size,)) for size in day.sizes),
        *(
            Part(f"transformers, {size}", "gpu.reference", 240 * shares, (size,))
            for size in day.sizes
        ),
        *(
            Part(
                f"memory of {size}, {batch}, {mode}", "gpu.memory", 24 * shares, (size, batch, mode)
            )
            for size in day.sizes
            for batch in ("1", "16")
            for mode in (ALL_LOADED, LOW_MEMORY)
        ),
        Part("threads", "gpu.threads", 45),
        Part("soak", "gpu.soak", day.soak_seconds + 25),
    )


_KERNEL_NAMES = {"ORT_ENABLE_ATTENTION_KERNEL_DEBUG_INFO": "1"}
