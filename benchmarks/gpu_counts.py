"""Counts what a request group asks of a GPU, by stage, and writes gpu/counts.json.

`make gpu-counts` runs it over the CUDA runtime without a GPU. Kernels do nothing there, so that the
processor's time is the host's: Python, NumPy and ONNX Runtime. All logits are equal there; top
logits are replaced by others, because a draw from equal ones would take them all.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
import numpy as np
from gpu_expectation import COUNTS
from machine import describe_machine
from meter import TEXT
from models import bundle_folder

sys.path.append(str(Path(__file__).parents[1]))

from bark_onnx.graphs.contract import STAGES
from bark_onnx.runtime import Bark
from bark_onnx.runtime.engine.stage_executor import StageExecutor
from bark_onnx.runtime.inference import draws
from bark_onnx.runtime.inference.draws import Draw, StepScores, TopLogits, draw_tokens
from tests.support.fake_cuda.log import (  # type: ignore[import-not-found]
    Counts,
    CudaLog,
    Event,
)

_RATE_HZ = 49.9


@click.command()
@click.option("--layers", type=int, multiple=True, default=(12, 24), show_default=True)
@click.option("--sequences", type=int, multiple=True, default=(1, 8, 16, 64), show_default=True)
@click.option("--seconds", type=float, default=10.0, show_default=True, help="Of each utterance.")
@click.option("--output", type=click.Path(path_type=Path), default=COUNTS)
def main(layers: tuple[int, ...], sequences: tuple[int, ...], seconds: float, output: Path) -> None:
    """Count the calls of utterances in the sizes of layers and groups."""
    path = os.environ.get("FAKE_CUDA_LOG")
    if path is None:
        raise click.UsageError("FAKE_CUDA_LOG is not set; run: make gpu-counts")
    log, rows = CudaLog(Path(path)), []
    for depth in layers:
        folder = bundle_folder(f"{depth}-layers", ("fp16",))
        log.take()
        with Bark.load(folder, provider="cuda", max_batch_size=max(sequences)) as bark:
            nodes = captured_nodes(log.take())
            for count in sequences:
                _speak(bark, count, seconds)  # allocates, and plans convolutions
                found = _count(bark, log, count, seconds)
                for stage in STAGES:
                    row = {"layers": depth, "sequences": count, "stage": stage, **found[stage]}
                    rows.append({**row, "nodes": nodes.get(stage, {}).get(_power(count), 0)})
                    click.echo(json.dumps(rows[-1]))
    settings = {"audio_seconds": seconds, "sequences": list(sequences)}
    result = {"machine": describe_machine(), **settings, "rows": rows}
    output.write_text(json.dumps(result, indent=1) + "\n")


def captured_nodes(events: list[Event]) -> dict[str, dict[int, int]]:
    """Nodes of each captured step by causal stage and sequences; they are captured in order."""
    sizes: list[int] = []
    for event in events:
        if event.call == "begin capture":
            sizes.append(0)
        elif event.is_captured and event.call == "launch":
            sizes[-1] += 1
    half = len(sizes) // 2
    by_stage = {"semantic": sizes[:half], "coarse": sizes[half:]}
    return {
        stage: {1 << exponent: nodes for exponent, nodes in enumerate(found)}
        for stage, found in by_stage.items()
    }


def _count(bark: Bark, log: CudaLog, count: int, seconds: float) -> dict[str, dict[str, Any]]:
    """Counts and seconds of the host by stage; what lies between steps belongs to the second."""
    events: dict[str, list[Event]] = {stage: [] for stage in STAGES}
    runs, host = dict.fromkeys(STAGES, 0), dict.fromkeys(STAGES, 0.0)
    ended = [0.0]

    def counted(executor: StageExecutor) -> Any:
        result = step(executor)
        stage = executor.stage
        host[stage] += time.thread_time() - ended[0] if ended[0] else 0.0
        events[stage] += log.take()
        runs[stage] += 1
        ended[0] = time.thread_time()  # of the engine's thread, without reading the log
        return result

    step = StageExecutor.step
    log.take()
    with patch.object(StageExecutor, "step", counted):
        _speak(bark, count, seconds)
    return {
        stage: {
            **asdict(Counts.of(events[stage])),
            "runs": runs[stage],
            "host_seconds": host[stage],
        }
        for stage in STAGES
    }


def _speak(bark: Bark, count: int, seconds: float) -> None:
    tokens = round(seconds * _RATE_HZ)
    seeds = list(range(count))
    with patch.object(draws, "draw_tokens", _draw_from_other_logits):
        bark.speak_batch([TEXT] * count, seed=seeds, semantic_max_new_tokens=tokens)


def _draw_from_other_logits(scores: StepScores, chosen: Sequence[Draw]) -> list[int]:
    if scores.top is None:
        return draw_tokens(scores, chosen)
    columns = np.arange(scores.top.logits.shape[1])
    first = np.array([draw.first for draw in chosen])
    top = TopLogits(
        np.tile(np.float32(-0.1) * columns.astype(np.float32), (len(chosen), 1)),
        (first[:, None] + columns).astype(np.int32),
        np.full(len(chosen), 3, np.float32),
        None if scores.top.end_logit is None else np.full(len(chosen), -9, np.float32),
    )
    return draw_tokens(StepScores(scores.whole, top), chosen)


def _power(count: int) -> int:
    return 1 << (count - 1).bit_length()


if __name__ == "__main__":
    main()
