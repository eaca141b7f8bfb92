"""Expected seconds of audio a second on a GPU: counts of calls times published latencies.

The counts are those of `gpu_counts.py`, over a CUDA runtime without a GPU; latencies, bandwidths
and rates are published ones, and shares of them assumed. Nothing here was measured on a GPU.
Prints a table; the last line is one JSON object.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from models import SIZES

COUNTS = Path(__file__).parent / "gpu" / "counts.json"
FACTOR = 2.0  # a measurement is as expected if it is at most so many times as long


@dataclass(frozen=True)
class Gpu:
    """Published rates of a GPU."""

    name: str  # part of the name that nvidia-smi shows
    memory_bandwidth: float  # bytes a second
    half_rate: float  # operations a second of tensor cores in fp16, without sparsity
    single_rate: float  # operations a second in fp32
    copy_bandwidth: float  # bytes a second from or to pinned memory of the host, one way


# NVIDIA's data sheets: H200 SXM (4.8 TB/s, 1,979 TFLOPS in fp16 with sparsity, 67 in fp32, PCIe 5
# x16), L4 (300 GB/s, 242 TFLOPS with sparsity, 30.3 in fp32, PCIe 4 x16).
GPUS = (
    Gpu("H200", 4.8e12, 989e12, 67e12, 64e9),
    Gpu("L4", 0.3e12, 121e12, 30.3e12, 32e9),
)

# Seconds. "Getting Started with CUDA Graphs" (NVIDIA, 2019): kernels of 2.9 us take 3.8 us each
# launched one after the other, 9.6 us with a wait behind each, 3.4 us in a graph.
LAUNCH = 3.8e-6
WAIT = 9.6e-6 - 3.8e-6
NODE_OVERHEAD = 3.4e-6 - 2.9e-6
# "Constant Time Launch for Straight-Line CUDA Graphs" (NVIDIA, 2024): 2.5 us and 1 ns a node.
REPLAY, REPLAY_NODE = 2.5e-6, 1e-9
# arXiv 2602.21548, section 5.2: 5 to 7 us a call of cudaMemcpyAsync.
COPY = 6e-6

# Assumed.
SHORTEST_KERNEL = 1.5e-6  # seconds on the device of a node that computes hardly anything
SHARE_OF_BANDWIDTH = 0.6  # that the products of a step reach
SHARE_OF_RATE = 0.4  # that the products of prompts and fine passes reach
SHARE_OF_SINGLE_RATE = 0.3  # that convolutions reach
SHARE_OF_COPY_BANDWIDTH = 0.25  # that memory of the host that is not pinned reaches
PLAN = 2e-3  # seconds that cuDNN's heuristic takes for a convolution of a new length
CODEC_OPERATIONS = 10e9  # of a second of audio
LSTM_STEP = 10e-6  # seconds of a frame through both layers

LOGITS = {"semantic": 10_001, "coarse": 2_096}
PROMPT, WINDOW, HISTORY = 257, 60, 630  # tokens: first prompt; coarse window and its history
FRAMES, FINE_WINDOW, FINE_STEP, FINE_PASSES = 75, 1024, 512, 6  # a second; a pass a codebook
Row = dict[str, Any]  # counts of a stage of one request group: see gpu_counts.py


@dataclass(frozen=True)
class Expectation:
    """Expected speech of some sequences of one length."""

    gpu: str
    size: str
    sequences: int
    audio_per_second: float
    host_share: float  # of the time that is the host's: Python, calls, copies
    seconds: dict[str, float]  # by stage


def find_gpu(name: str | None) -> Gpu | None:
    """The GPU of a name that nvidia-smi shows, if its rates are known."""
    return next((gpu for gpu in GPUS if name and gpu.name in name.split()), None)


def read_counts() -> dict[str, Any]:
    """Counts of `gpu_counts.py`."""
    found: dict[str, Any] = json.loads(COUNTS.read_text())
    return found


def rows_of(size: str, sequences: int) -> list[Row]:
    """Rows of a size; empty if these sequences were not counted."""
    layers = SIZES[size].get("num_layers")
    rows = read_counts()["rows"]
    return [row for row in rows if (row["layers"], row["sequences"]) == (layers, sequences)]


def expect(gpu: Gpu, size: str, sequences: int) -> Expectation | None:
    """Expected speech; None if these sequences were not counted."""
    rows = rows_of(size, sequences)
    if not rows:
        return None
    audio = read_counts()["audio_seconds"]
    host = {row["stage"]: host_seconds(gpu, row) for row in rows}
    device = {row["stage"]: device_seconds(gpu, size, row, audio) for row in rows}
    launching = {row["stage"]: row["launches"] * LAUNCH for row in rows}
    # Kernels run while the next ones are launched.
    seconds = {
        stage: host[stage] + max(device[stage][0], launching[stage]) + device[stage][1]
        for stage in host
    }
    total = sum(seconds.values())
    return Expectation(
        gpu=gpu.name,
        size=size,
        sequences=sequences,
        audio_per_second=sequences * audio / total,
        host_share=sum(host.values()) / total,
        seconds=seconds,
    )


def expected_rate(gpu: Gpu, size: str, sequences: int) -> float | None:
    """Expected audio seconds a second; None if these sequences were not counted."""
    found = expect(gpu, size, sequences)
    return found.audio_per_second if found else None


def host_seconds(gpu: Gpu, row: Row) -> float:
    """Seconds in which the host does not launch kernels: its own work, copies, waits, plans."""
    copied = (row["bytes_in"] + row["bytes_out"]) / (gpu.copy_bandwidth * SHARE_OF_COPY_BANDWIDTH)
    calls = (row["copies_in"] + row["copies_out"]) * COPY + row["waits"] * WAIT
    replays = row["replays"] * (REPLAY + row["nodes"] * REPLAY_NODE)
    return float(row["host_seconds"] + calls + copied + replays + row["plans"] * PLAN)


def device_seconds(gpu: Gpu, size: str, row: Row, audio: float) -> tuple[float, float]:
    """Seconds of kernels that are launched one by one, and of replayed steps."""
    stage, sequences = row["stage"], row["sequences"]
    if stage == "codec":
        rate = gpu.single_rate * SHARE_OF_SINGLE_RATE
        return sequences * CODEC_OPERATIONS * audio / rate + FRAMES * audio * LSTM_STEP, 0.0
    if stage == "fine":
        windows = 1 + max(0, math.ceil((FRAMES * audio - FINE_WINDOW) / FINE_STEP))
        operations = windows * FINE_PASSES * sequences * _operations(size, FINE_WINDOW)
        return operations / (gpu.half_rate * SHARE_OF_RATE), 0.0
    prompts = _prompts(stage, audio)
    operations = sequences * sum(_operations(size, tokens) for tokens in prompts)
    context = PROMPT + sum(prompts) / len(prompts) if stage == "coarse" else PROMPT + 25 * audio
    step = step_seconds(gpu, size, stage, sequences, nodes=row["nodes"], context=context)
    return operations / (gpu.half_rate * SHARE_OF_RATE), row["replays"] * step


def step_seconds(
    gpu: Gpu, size: str, stage: str, sequences: int, *, nodes: int, context: float
) -> float:
    """Seconds of a replayed step on the device: its bytes, or its nodes if that takes longer."""
    layers, width = SIZES[size]["num_layers"], SIZES[size]["hidden_size"]
    weights = 2 * (12 * layers * width**2 + width * LOGITS[stage])
    caches = 2 * 2 * layers * width * context * sequences
    reading = (weights + caches) / (gpu.memory_bandwidth * SHARE_OF_BANDWIDTH)
    return nodes * NODE_OVERHEAD + max(reading, nodes * SHORTEST_KERNEL)


def _prompts(stage: str, audio: float) -> list[float]:
    """Tokens of each prompt of a sequence; nothing of a window is kept."""
    if stage == "semantic":
        return [PROMPT]
    tokens = round(2 * FRAMES * audio)
    return [PROMPT + min(HISTORY, done) for done in range(0, tokens, WINDOW)]


def _operations(size: str, tokens: float) -> float:
    """Operations of a run of many tokens: products with weights, and attention."""
    layers, width = SIZES[size]["num_layers"], SIZES[size]["hidden_size"]
    return float(2 * tokens * layers * (12 * width**2 + 2 * tokens * width))


@click.command()
def main() -> None:
    """Print what is expected of each GPU."""
    counts, found = read_counts(), []
    for gpu in GPUS:
        for size in ("bark-small", "bark"):
            for sequences in counts["sequences"]:
                each = expect(gpu, size, sequences)
                if each is None:
                    continue  # not counted
                found.append(each)
                stages = ", ".join(f"{name} {s:.2f} s" for name, s in each.seconds.items())
                click.echo(
                    f"{gpu.name:<5} {size:<10} {sequences:>2} sequences: "
                    f"{each.audio_per_second:6.1f} audio seconds a second (expected); host "
                    f"{each.host_share:.0%}; {stages}"
                )
    click.echo(json.dumps({"counted": counts["machine"], "expected": [asdict(e) for e in found]}))


if __name__ == "__main__":
    main()
