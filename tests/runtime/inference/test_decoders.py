"""Decoders on real graphs: the logits after some tokens do not depend on how they were run."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.contract import CausalStage
from bark_onnx.runtime.inference.decoders.cuda_graph import CudaGraphDecoder
from bark_onnx.runtime.inference.decoders.decoder import Decoder, StepInput
from bark_onnx.runtime.inference.decoders.dynamic_cache import DynamicCacheDecoder
from bark_onnx.runtime.inference.decoders.sessions import CausalSessions
from bark_onnx.runtime.inference.decoders.static_cache import StaticCacheDecoder
from bark_onnx.runtime.inference.providers.cpu import CpuProvider
from bark_onnx.runtime.inference.sessions import ExecutionTarget, open_session

RNG = np.random.default_rng(0)
IDS = RNG.integers(0, 10_000, 1024)
HISTORY = RNG.integers(0, 10_000, 1024)


def _sessions(folder: Path, *, precision: str = "fp32", stage: CausalStage = "semantic") -> Any:
    bundle = Bundle(folder)
    contract = bundle.contract(stage, precision)
    target = ExecutionTarget(CpuProvider(), 1)
    session = prefill = open_session(bundle.graph(precision, stage), contract, target)
    if (path := bundle.prefill_graph(precision, stage)) is not None:
        prefill = open_session(path, contract, target)
    return CausalSessions(prefill, session, contract, getattr(bundle.manifest.shapes, stage))


@pytest.fixture(scope="module")
def static(random_bundle: Path) -> Decoder:
    return StaticCacheDecoder(_sessions(random_bundle), 2)


@pytest.fixture(scope="module")
def cuda_graph(random_bundle: Path) -> Decoder:
    return CudaGraphDecoder(_sessions(random_bundle), 5, "cpu")


@pytest.fixture(scope="module")
def dynamic(standard_bundle: Path) -> Decoder:
    return DynamicCacheDecoder(_sessions(standard_bundle), 1, "cpu")


@pytest.fixture(params=["static", "cuda_graph"])
def fused(request: pytest.FixtureRequest) -> Decoder:
    """Both decoders of fused graphs; the one for GPUs in CPU memory."""
    return request.getfixturevalue(request.param)


def _prefill(decoder: Decoder, count: int, *, past_length: int = 0, slot: int = 0) -> np.ndarray:
    part = slice(past_length, past_length + count)
    return decoder.prefill(slot, StepInput(IDS[part], past_length, HISTORY[part])).copy()


@pytest.mark.parametrize("count", [1, 255, 256, 257, 512, 700, 887, 1024])
def test_a_prefill_of_any_length_has_the_logits_of_the_standard_graph(
    fused: Decoder, dynamic: Decoder, count: int
):
    ours, theirs = _prefill(fused, count, slot=1), _prefill(dynamic, count)
    np.testing.assert_allclose(ours, theirs, atol=2e-4, rtol=0)
    assert fused.lengths[1] == dynamic.lengths[0] == count


@pytest.mark.parametrize("kept", [1, 300, 600])
def test_a_prefill_continues_after_the_kept_part_of_the_cache(
    fused: Decoder, dynamic: Decoder, kept: int
):
    expected = _prefill(dynamic, 887)
    _prefill(fused, 700)
    np.testing.assert_allclose(
        _prefill(fused, 887 - kept, past_length=kept), expected, atol=2e-4, rtol=0
    )


class _Watched:
    """A session that records the number of tokens of each run."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.runs: list[int] = []

    def io_binding(self) -> Any:
        binding = self.session.io_binding()

        def bind_input(name: str, *arguments: Any) -> None:
            if name == "input_ids":
                self.runs.append(arguments[3][1])
            binding.bind_input(name, *arguments)

        return SimpleNamespace(
            bind_input=bind_input, bind_output=binding.bind_output, binding=binding
        )

    def run_with_iobinding(self, binding: Any) -> None:
        self.session.run_with_iobinding(binding.binding)


@pytest.fixture
def watched(random_bundle: Path) -> tuple[Decoder, list[int]]:
    sessions = _sessions(random_bundle)
    watched = _Watched(sessions.prefill)
    return StaticCacheDecoder(dataclasses.replace(sessions, prefill=watched), 1), watched.runs


@pytest.mark.parametrize(
    ("count", "runs"), [(257, [257]), (301, [150, 151]), (887, [295, 296, 296])]
)
def test_long_prefills_run_in_chunks(
    watched: tuple[Decoder, list[int]], count: int, runs: list[int]
):
    decoder, seen = watched
    _prefill(decoder, count)
    assert sorted(seen) == runs


def test_the_cache_of_a_short_text_is_a_fraction_of_the_full_context(random_bundle: Path):
    decoder = StaticCacheDecoder(_sessions(random_bundle), 8)
    shape = Bundle(random_bundle).manifest.shapes.semantic
    token = 2 * shape.num_layers * shape.num_heads * shape.head_size * 4
    lengths = []
    for count in (257, 384, 385):
        _prefill(decoder, count)
        lengths.append(decoder.cache.length)
        assert decoder.cache.nbytes == decoder.cache.length * token
    decoder.lengths[0] = 512
    decoder.decode(IDS[:1])
    assert [*lengths, decoder.cache.length] == [384, 384, 512, 640]


def _events(decoders: list[Decoder], number: int, *, longest: int) -> Iterator[list[np.ndarray]]:
    """Logits of decoders while sequences come, go and move."""
    rng = np.random.default_rng(1)
    count = 0
    for _ in range(number):
        event = rng.integers(0, 4)
        if count < 5 and (count == 0 or event == 0):
            step = StepInput(rng.integers(0, 10_000, rng.integers(1, longest)), 0)
            yield [decoder.prefill(count, step).copy() for decoder in decoders]
            count += 1
        elif count > 1 and event == 1:
            leaving = int(rng.integers(0, count - 1))
            for decoder in decoders:
                decoder.copy_slot(count - 1, leaving)
            count -= 1
        elif count > 1 and event == 2:
            pair = rng.choice(count, 2, replace=False).tolist()
            for decoder in decoders:
                decoder.swap_slots(*pair)
        else:
            input_ids = rng.integers(0, 10_000, count)
            yield [decoder.decode(input_ids).copy() for decoder in decoders]
        assert decoders[0].lengths[:count].tolist() == decoders[1].lengths[:count].tolist()


@pytest.mark.parametrize("stage", ["semantic", "coarse"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_length_of_the_cache_buffer_changes_no_bit_of_the_logits(
    half_bundle: Path, precision: str, stage: CausalStage
):
    sessions = _sessions(half_bundle, precision=precision, stage=stage)
    growing, full = (StaticCacheDecoder(sessions, 5) for _ in range(2))
    full.cache.length = 1024
    sizes = set()
    for short, long in _events([growing, full], 120, longest=400):
        np.testing.assert_array_equal(short, long)
        sizes.add((growing.cache.slots, growing.cache.length))
        assert full.cache.length == 1024
    assert len(sizes) >= 4
    assert max(length for _, length in sizes) < 1024


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_cuda_graph_decoder_equals_the_static_one_while_sequences_come_and_go(
    random_bundle: Path, half_bundle: Path, precision: str
):
    bundle = random_bundle if precision == "fp32" else half_bundle
    sessions = _sessions(bundle, precision=precision, stage="coarse")
    decoders = [StaticCacheDecoder(sessions, 5), CudaGraphDecoder(sessions, 5, "cpu")]
    for found in _events(decoders, 60, longest=60):
        np.testing.assert_allclose(found[1], found[0], atol=1e-4 if precision == "fp32" else 0.05)


def test_a_sequence_of_the_cuda_graph_decoder_keeps_its_cache_when_it_moves(cuda_graph: Decoder):
    _prefill(cuda_graph, 40, slot=0)
    _prefill(cuda_graph, 90, slot=1)
    alone = cuda_graph.decode(IDS[[40, 90]])[1].copy()
    _prefill(cuda_graph, 40, slot=0)
    _prefill(cuda_graph, 90, slot=1)
    cuda_graph.copy_slot(1, 0)
    np.testing.assert_allclose(cuda_graph.decode(IDS[[90]])[0], alone, atol=1e-4, rtol=0)
    assert cuda_graph.lengths[0] == 91


@pytest.mark.parametrize("kind", ["static", "cuda_graph", "dynamic"])
def test_swapped_slots_continue_with_their_own_caches(
    random_bundle: Path, standard_bundle: Path, kind: str
):
    if kind == "static":
        decoder: Decoder = StaticCacheDecoder(_sessions(random_bundle), 3)
    elif kind == "cuda_graph":
        decoder = CudaGraphDecoder(_sessions(random_bundle), 3, "cpu")
    else:
        decoder = DynamicCacheDecoder(_sessions(standard_bundle), 3, "cpu")
    lengths = [5, 40, 17]
    for slot, count in enumerate(lengths):
        _prefill(decoder, count, slot=slot)
    expected = decoder.decode(IDS[:3]).copy()
    for slot, count in enumerate([40, 5, 17]):
        _prefill(decoder, count, slot=slot)
    decoder.swap_slots(0, 1)
    assert decoder.lengths.tolist() == lengths
    np.testing.assert_array_equal(decoder.decode(IDS[:3]), expected)


@pytest.mark.parametrize("kept", [1, 40, 257])
@pytest.mark.parametrize("waiting", [0, 1, 2])
def test_a_kept_prefix_stays_while_other_sequences_step(
    random_bundle: Path, kept: int, waiting: int
):
    sessions = _sessions(random_bundle, stage="coarse")
    decoders = [StaticCacheDecoder(sessions, 4), CudaGraphDecoder(sessions, 4, "cpu")]
    rng = np.random.default_rng(2)
    prompts = [rng.integers(0, 10_000, count) for count in (300, 290, 280)]
    for decoder in decoders:
        for slot, prompt in enumerate(prompts):
            decoder.prefill(slot, StepInput(prompt, 0))
        decoder.swap_slots(waiting, 2)  # the first two step
    for _ in range(3):
        ids = rng.integers(0, 10_000, 2)
        for decoder in decoders:
            decoder.decode(ids)
    rest = StepInput(rng.integers(0, 10_000, 5), kept)
    exact, found = (decoder.prefill(2, rest).copy() for decoder in decoders)
    np.testing.assert_allclose(found, exact, atol=1e-5, rtol=0)


def test_a_sequence_that_fills_its_cache_is_kept_but_for_its_last_token(random_bundle: Path):
    sessions = _sessions(random_bundle, stage="coarse")
    decoders = [StaticCacheDecoder(sessions, 2), CudaGraphDecoder(sessions, 2, "cpu")]
    rng = np.random.default_rng(3)
    context = sessions.shape.context_length
    full, other = rng.integers(0, 10_000, context), rng.integers(0, 10_000, 7)
    for decoder in decoders:
        decoder.prefill(1, StepInput(full, 0))
        decoder.prefill(0, StepInput(other, 0))
        decoder.decode(other[:1])
    last = StepInput(full[:1], context - 1)
    exact, found = (decoder.prefill(1, last).copy() for decoder in decoders)
    np.testing.assert_allclose(found, exact, atol=1e-5, rtol=0)


@pytest.mark.parametrize("stage", ["semantic", "coarse"])
def test_scores_of_both_decoders_are_the_largest_logits_and_their_sum(
    random_bundle: Path, stage: CausalStage
):
    sessions = _sessions(random_bundle, stage=stage)
    rng = np.random.default_rng(4)
    prompts = [rng.integers(0, 10_000, 7 + slot) for slot in range(5)]
    for decoder in (StaticCacheDecoder(sessions, 5), CudaGraphDecoder(sessions, 5, "cpu")):
        runs = [
            decoder.prefill_scores(slot, StepInput(prompt, 0))
            for slot, prompt in enumerate(prompts)
        ]
        decoder.swap_slots(1, 4)
        runs = [runs[-1], decoder.decode_scores(rng.integers(10_000, 10_200, 5))]
        for scores in runs:
            logits = scores.whole()
            if scores.top is None:  # few sequences on a CPU
                assert (type(decoder), len(logits)) == (StaticCacheDecoder, 1)
                continue
            found = np.take_along_axis(logits, scores.top.ids.astype(np.int64), 1)
            np.testing.assert_array_equal(found, scores.top.logits)
            assert (np.diff(scores.top.logits, axis=1) <= 0).all()
            summed = np.log(np.exp(logits.astype(np.float64)).sum(1))
            np.testing.assert_allclose(scores.top.log_sum_exp, summed, rtol=1e-5)
            if stage == "semantic":
                np.testing.assert_array_equal(scores.top.end_logit, logits[:, -1])
                np.testing.assert_array_equal(scores.top.logits[:, 0], logits.max(1))
