"""The engines of compare.py: each generates an utterance and measures every stage.

Each engine runs in a process of its own, so that its memory can be measured.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

from meter import TEXT, Generate, Measured, Meter, Prefills
from models import bundle_folder, checkpoint_folder, openvino_folder

from bark_onnx.graphs.contract import STAGES, Stage
from bark_onnx.runtime import Bark, GenerationOptions, use_global_thread_pool
from bark_onnx.runtime.inference.decoders.decoder import StepInput
from bark_onnx.runtime.inference.draws import StepScores
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
Provider = Literal["cpu", "cuda"]
CHECKS = ("openvino f32",)  # generates the tokens of fp32: a check, not a competitor


def prepare(engine: str, size: str) -> None:
    """Make the files that an engine loads."""
    maker, _, precision = engine.rpartition(" ")
    if maker == "openvino":
        openvino_folder(size, precision)
    bundle_folder(size, ("fp32",) if maker in ("transformers", "openvino") else (precision,))
    checkpoint_folder(size)


def open_engine(engine: str, size: str, threads: int, provider: Provider) -> Generate:
    """Load a prepared engine; bark-onnx with the global thread pool, as its command does."""
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


def _open_openvino(precision: str, size: str, threads: int) -> Generate:
    """OpenVINO in the loops of bark-onnx, so that it runs the same prefills and decode steps."""
    from openvino_stages import open_stage

    folder = openvino_folder(size, precision)

    def opened(models: StageModels, stage: Stage) -> Any:
        shapes = models.manifest.shapes
        return open_stage(folder, stage, shapes, precision=precision, threads=threads)

    return _open_bark(bundle_folder(size), "fp32", threads, "cpu", opened)


def _open_bark(
    folder: Path,
    precision: str,
    threads: int,
    provider: Provider,
    open_stage: Callable[[StageModels, Stage], Any],
    *,
    low_memory: bool = False,
) -> Generate:
    """Load a `Bark` whose stages are opened by `open_stage`."""
    meter = Meter()

    def opened(models: StageModels, stage: Stage) -> Any:
        model = open_stage(models, stage)
        if stage not in ("semantic", "coarse"):
            return model
        return _MeteredDecoder(model, lambda: meter.prefills[stage])

    # Never undone: with low memory, a stage is opened whenever it is acquired.
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
    return partial(_generate, bark, meter)


def _generate(bark: Bark, meter: Meter, tokens: int, voice: bool) -> Measured:
    meter.reset()
    last: dict[str, float] = {}

    def note(stage: str, done: int, total: int) -> None:
        last[stage] = time.perf_counter()

    started = time.perf_counter()
    speech = bark.speak(
        TEXT,
        voice=bark.voices[0] if voice else None,
        options=GenerationOptions.greedy(),
        semantic_max_new_tokens=tokens,
        on_progress=note,
    )
    assert len(speech.semantic_tokens) == tokens, "the utterance ended early"
    ends = [started, *(last[stage] for stage in STAGES)]
    seconds: dict[str, float] = {
        stage: ends[index + 1] - ends[index] for index, stage in enumerate(STAGES)
    }
    return meter.measured(seconds, {"semantic": tokens, "coarse": speech.coarse_tokens.size})


class _MeteredDecoder:
    """A decoder whose prefills are measured.

    A wrapper: a patched decoder would be kept alive, but memory is measured as well.
    """

    def __init__(self, decoder: Any, prefills: Callable[[], Prefills]) -> None:
        self._decoder = decoder
        self._prefills = prefills

    def __getattr__(self, name: str) -> Any:
        return getattr(self._decoder, name)

    def prefill(self, slot: int, step: StepInput) -> Logits:
        tokens = len(step.input_ids)
        logits: Logits = self._measured(self._decoder.prefill, tokens, slot, step)
        return logits

    def prefill_scores(self, slots: Sequence[int], steps: Sequence[StepInput]) -> StepScores:
        tokens = sum(len(step.input_ids) for step in steps)
        scores: StepScores = self._measured(self._decoder.prefill_scores, tokens, slots, steps)
        return scores

    def _measured(self, run: Callable[..., Any], tokens: int, *arguments: Any) -> Any:
        started = time.perf_counter()
        found = run(*arguments)
        self._prefills().add(tokens, time.perf_counter() - started)
        return found
