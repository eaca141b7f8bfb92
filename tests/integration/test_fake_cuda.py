"""The CUDA path over a fake runtime: ONNX Runtime's provider is real, and the GPU is not.

`make test-fake-cuda` builds the runtime and runs these tests.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bark_onnx.graphs.contract import STAGES
from bark_onnx.runtime import Bark, GenerationOptions
from bark_onnx.runtime.inference.codec import bucket, run_codec
from bark_onnx.runtime.inference.decoders.decoder import StepInput
from tests.support.fake_cuda.log import Counts, CudaLog, Event
from tests.support.fake_cuda.running import open_log
from tests.support.stages import session_of

SPEECH = {"options": GenerationOptions.greedy(), "semantic_max_new_tokens": 20}
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module", autouse=True)
def log() -> CudaLog:
    return open_log()


@pytest.fixture(scope="module")
def loaded(log: CudaLog, gpu_bundle: Path) -> Iterator[tuple[Bark, list[Event]]]:
    """A loaded bundle, and what loading did."""
    log.take()
    with Bark.load(gpu_bundle, provider="cuda", max_batch_size=16) as bark:
        yield bark, log.take()


@pytest.fixture(scope="module")
def bark(loaded: tuple[Bark, list[Event]]) -> Bark:
    return loaded[0]


def test_auto_selects_cuda_and_fp16(gpu_bundle: Path) -> None:
    with Bark.load(gpu_bundle, max_batch_size=1) as bark:
        assert (bark.describe().provider, bark.describe().precision) == ("cuda", "fp16")


def test_no_graph_needs_copies_between_cpu_and_gpu(bark: Bark) -> None:
    with bark._models.acquire("fine") as model:
        assert model.draws
    for stage in STAGES:
        parts = session_of(bark, stage).get_provider_graph_assignment_info()
        operators = {node.op_type for part in parts for node in part.get_nodes()}
        on_cpu = {
            node.op_type
            for part in parts
            if part.ep_name != "CUDAExecutionProvider"
            for node in part.get_nodes()
        }
        assert not any("Memcpy" in name for name in operators), stage
        # Numbers of a shape, which are in CPU memory.
        assert on_cpu <= {
            "Mul",
            "Reshape",
            "Squeeze",
            "Shape",
            "Slice",
            "Gather",
            "Unsqueeze",
            "Concat",
        }, stage


def test_steps_are_captured_at_load_and_only_there(
    loaded: tuple[Bark, list[Event]], log: CudaLog
) -> None:
    bark, loading = loaded
    captures = [event for event in loading if event.call == "begin capture"]
    assert len(captures) == 2 * len((1, 2, 4, 8, 16))
    log.take()
    bark.speak_batch(["Hello", "Good morning to you", "Bye"], **SPEECH)
    assert not any(event.call == "begin capture" for event in log.take())


def test_nothing_but_the_capturing_thread_asks_for_memory_while_a_step_is_captured(
    log: CudaLog, gpu_bundle: Path
) -> None:
    log.take()
    with Bark.load(gpu_bundle, provider="cuda", wait=False) as first:
        futures = [first.submit("Hello", **SPEECH) for _ in range(3)]
        with Bark.load(gpu_bundle, provider="cuda", wait=False) as second:
            futures += [second.submit("Good morning", **SPEECH) for _ in range(3)]
            for future in futures:
                future.result()
    events = log.take()
    capturing = None
    for event in events:
        if event.call == "begin capture":
            capturing = event.thread
        if event.is_captured and event.call in ("malloc", "free", "copy", "wait", "plan"):
            assert event.thread == capturing, event


def test_decode_steps_of_heads_of_64_take_the_kernel_for_decoding(
    loaded: tuple[Bark, list[Event]],
) -> None:
    captured = {e.fields[0] for e in loaded[1] if e.is_captured and e.call == "launch"}
    assert any("H64" in name for name in captured)


def _steps(bark: Bark, log: CudaLog, sequences: int) -> Counts:
    with bark._models.acquire("semantic") as decoder:
        for slot in range(sequences):
            decoder.prefill(slot, StepInput(RNG.integers(0, 100, 257), 0))
        ids = RNG.integers(0, 100, sequences)
        decoder.decode_scores(ids)
        log.take()
        decoder.decode_scores(ids)
        return log.counts()


@pytest.mark.parametrize("sequences", [1, 2, 7, 16])
def test_a_decode_step_is_one_copy_in_one_launch_and_one_copy_out(
    bark: Bark, log: CudaLog, sequences: int
) -> None:
    counts = _steps(bark, log, sequences)
    assert (counts.copies_in, counts.replays, counts.launches) == (1, 1, 0)
    assert counts.copies_out == 1
    assert counts.bytes_out <= 1024 * sequences
    assert counts.mallocs == 0


def test_no_plan_of_a_convolution_is_built_for_a_length_of_the_same_bucket(
    bark: Bark, log: CudaLog
) -> None:
    with bark._models.acquire("codec") as session:
        codes = [RNG.integers(0, 512, (frames, 8)) for frames in (100, 101, 128, 70)]
        run_codec(session, codes[:1], padded=bucket(100))
        log.take()
        for each in codes[1:]:
            run_codec(session, [each], padded=bucket(len(each)))
        assert log.counts().plans == 0


def test_sequences_share_the_runs_of_every_stage(bark: Bark) -> None:
    before = bark.engine_status().stages
    bark.speak_batch(["Hello"] * 8, **SPEECH)
    after = bark.engine_status().stages
    for stage in STAGES:
        steps = after[stage].steps - before[stage].steps
        sequences = after[stage].sequences - before[stage].sequences
        assert sequences / steps > 4, stage
