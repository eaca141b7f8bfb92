"""The engines that compare.py compares: each says an utterance and tells what every stage took.

An engine is opened in a process that opens no other, so that its memory can be measured.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

from meter import TEXT, Measured, Meter, Prompts, Say
from models import bundle_folder, checkpoint_folder, openvino_folder

from bark_onnx.graphs.contract import STAGES, Stage
from bark_onnx.runtime import Bark, GenerationOptions, use_global_thread_pool
from bark_onnx.runtime.inference.decoders.decoder import StepInput
from bark_onnx.runtime.inference.models import StageModels
from bark_onnx.runtime.inference.sampling import Logits

ENGINES = {
    "cpu": (
        "transformers fp32",
        "transformers bf16",
        "openvino bf16",
        "openvino int8",
        "fp32",
        "int8",
        "low-memory int8",
        "int4",
    ),
    "cuda": ("transformers fp32", "transformers fp16", "fp16"),
}
ExecutionTarget = Literal["cpu", "cuda"]
CHECKS = ("openvino f32",)  # says token for token what fp32 says: no figure of interest


def prepare(engine: str, size: str) -> None:
    """Make everything that an engine loads."""
    maker, _, precision = engine.rpartition(" ")
    if maker == "openvino":
        openvino_folder(size, precision)
    bundle_folder(size, ("fp32",) if maker in ("transformers", "openvino") else (precision,))
    checkpoint_folder(size)


def open_engine(engine: str, size: str, threads: int, provider: ExecutionTarget) -> Say:
    """Load an engine that is prepared.

    Ours is what the command is: a program whose stages share one pool of threads.
    """
    maker, _, precision = engine.rpartition(" ")
    if maker == "transformers":
        from engine_transformers import open_transformers

        return open_transformers(precision, size, threads, provider)
    if maker == "openvino":
        return _open_openvino(precision, size, threads)
    use_global_thread_pool()
    folder = bundle_folder(size, (precision,))
    low_memory = maker == "low-memory"
    return _open_bark(
        folder, precision, threads, provider, StageModels._open, low_memory=low_memory
    )


def _open_openvino(precision: str, size: str, threads: int) -> Say:
    """OpenVINO under our own loops, so that it runs the same prompts and steps."""
    from openvino_stages import open_stage

    folder = openvino_folder(size, precision)

    def opened(stages: StageModels, stage: Stage) -> Any:
        shapes = stages.manifest.shapes
        return open_stage(folder, stage, shapes, precision=precision, threads=threads)

    return _open_bark(bundle_folder(size), "fp32", threads, "cpu", opened)


def _open_bark(
    folder: Path,
    precision: str,
    threads: int,
    provider: ExecutionTarget,
    open_stage: Callable[[StageModels, Stage], Any],
    *,
    low_memory: bool = False,
) -> Say:
    """A `Bark` whose stages are opened by `open_stage`."""
    meter = Meter()

    def opened(stages: StageModels, stage: Stage) -> Any:
        session = open_stage(stages, stage)
        if stage not in ("semantic", "coarse"):
            return session
        return _Watched(session, lambda: meter.prompts[stage])

    # For good, as a stage is opened for every use where memory is low.
    patch.object(StageModels, "_open", opened).start()
    bark = Bark.load(
        folder,
        provider=provider,
        precision=precision,
        threads=threads,
        max_batch_size=1,
        verify=False,
        low_memory=low_memory,
    )
    options = GenerationOptions.greedy()

    def say(tokens: int, voice: bool) -> Measured:
        meter.reset()
        last: dict[str, float] = {}

        def note(stage: str, done: int, total: int) -> None:
            last[stage] = time.perf_counter()

        started = time.perf_counter()
        speech = bark.speak(
            TEXT,
            voice=bark.voices[0] if voice else None,
            options=options,
            semantic_max_new_tokens=tokens,
            on_progress=note,
        )
        assert len(speech.semantic_tokens) == tokens, "the utterance ended early"
        ends = [started, *(last[stage] for stage in STAGES)]
        seconds = {stage: ends[index + 1] - ends[index] for index, stage in enumerate(STAGES)}
        return meter.measured(seconds, {"semantic": tokens, "coarse": speech.coarse_tokens.size})

    return say


class _Watched:
    """A decoder whose prompts are metered.

    Stands around it instead of changing it, which would keep it alive: memory is measured, too.
    """

    def __init__(self, decoder: Any, prompts: Callable[[], Prompts]) -> None:
        self._decoder = decoder
        self._prompts = prompts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._decoder, name)

    def feed(self, slot: int, tokens: StepInput) -> Logits:
        started = time.perf_counter()
        logits: Logits = self._decoder.feed(slot, tokens)
        self._prompts().add(len(tokens.input_ids), time.perf_counter() - started)
        return logits
