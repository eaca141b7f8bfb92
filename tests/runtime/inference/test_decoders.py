"""Decoders on real graphs: the logits after some tokens do not depend on how they were run."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.contract import CausalStage
from bark_onnx.graphs.onnxruntime import import_onnxruntime
from bark_onnx.runtime.inference.decoders.cuda_graph import CudaGraphDecoder
from bark_onnx.runtime.inference.decoders.decoder import Decoder, StepInput
from bark_onnx.runtime.inference.decoders.device_cache import DeviceCacheDecoder
from bark_onnx.runtime.inference.decoders.dynamic_cache import DynamicCacheDecoder
from bark_onnx.runtime.inference.decoders.sessions import CausalSessions
from bark_onnx.runtime.inference.decoders.static_cache import StaticCacheDecoder
from bark_onnx.runtime.inference.draws import StepScores
from bark_onnx.runtime.inference.providers.cpu import CpuProvider
from bark_onnx.runtime.inference.sessions import ExecutionTarget, open_session

RNG = np.random.default_rng(0)
IDS = RNG.integers(0, 10_000, 1024)
HISTORY = RNG.integers(0, 10_000, 1024)


def _sessions(
    folder: Path,
    *,
    precision: str = "fp32",
    stage: CausalStage = "semantic",
    for_draws: bool = False,
) -> Any:
    bundle = Bundle(folder)
    contract = bundle.contract(stage, precision, for_draws=for_draws)
    target = ExecutionTarget(CpuProvider(), 1)
    path = bundle.graph(precision, stage)
    if for_draws:
        path = bundle.draw_graph(precision, stage)
    session = prefill = open_session(path, contract, target)
    if (path := bundle.prefill_graph(precision, stage)) is not None:
        prefill = open_session(path, contract, target)
    return CausalSessions(prefill, session, contract, getattr(bundle.manifest.shapes, stage))


@pytest.fixture(scope="module")
def static(random_bundle: Path) -> Decoder:
    return StaticCacheDecoder(_sessions(random_bundle), 2)


@pytest.fixture(scope="module")
def cuda_graph(random_bundle: Path) -> Decoder:
    return CudaGraphDecoder(_sessions(random_bundle), 5, "cpu")


def _device_cache(sessions: Any, slots: int, **options: Any) -> DeviceCacheDecoder:
    open_graph = import_onnxruntime().InferenceSession
    return DeviceCacheDecoder(sessions, slots, "cpu", open_graph=open_graph, **options)


FOR_GPUS: dict[str, Callable[[Any, int], Decoder]] = {
    "cuda_graph": lambda sessions, slots: CudaGraphDecoder(sessions, slots, "cpu"),
    "device_cache": _device_cache,
}


@pytest.fixture(scope="module")
def device_cache(random_bundle: Path) -> Decoder:
    return _device_cache(_sessions(random_bundle), 5)


@pytest.fixture(scope="module")
def dynamic(standard_bundle: Path) -> Decoder:
    return DynamicCacheDecoder(_sessions(standard_bundle), 1, "cpu")


@pytest.fixture(params=["static", "cuda_graph", "device_cache"])
def fused(request: pytest.FixtureRequest) -> Decoder:
    """All decoders of fused graphs; those for GPUs in CPU memory."""
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


@pytest.mark.parametrize("kind", ["cuda_graph", "device_cache"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_decoders_for_gpus_equal_the_static_one_while_sequences_come_and_go(
    random_bundle: Path, half_bundle: Path, precision: str, kind: str
):
    bundle = random_bundle if precision == "fp32" else half_bundle
    sessions = _sessions(bundle, precision=precision, stage="coarse")
    decoders = [StaticCacheDecoder(sessions, 5), FOR_GPUS[kind](sessions, 5)]
    for found in _events(decoders, 60, longest=60):
        np.testing.assert_allclose(found[1], found[0], atol=1e-4 if precision == "fp32" else 0.05)


@pytest.mark.parametrize("kind", ["cuda_graph", "device_cache"])
def test_a_sequence_keeps_its_cache_when_it_moves(request: pytest.FixtureRequest, kind: str):
    decoder: Decoder = request.getfixturevalue(kind)
    _prefill(decoder, 40, slot=0)
    _prefill(decoder, 90, slot=1)
    alone = decoder.decode(IDS[[40, 90]])[1].copy()
    _prefill(decoder, 40, slot=0)
    _prefill(decoder, 90, slot=1)
    decoder.copy_slot(1, 0)
    np.testing.assert_allclose(decoder.decode(IDS[[90]])[0], alone, atol=1e-4, rtol=0)
    assert decoder.lengths[0] == 91


@pytest.mark.parametrize("kind", ["static", "cuda_graph", "device_cache", "dynamic"])
def test_swapped_slots_continue_with_their_own_caches(
    random_bundle: Path, standard_bundle: Path, kind: str
):
    if kind == "static":
        decoder: Decoder = StaticCacheDecoder(_sessions(random_bundle), 3)
    elif kind in FOR_GPUS:
        decoder = FOR_GPUS[kind](_sessions(random_bundle), 3)
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


@pytest.mark.parametrize("kind", ["cuda_graph", "device_cache"])
@pytest.mark.parametrize("kept", [1, 40, 257])
@pytest.mark.parametrize("waiting", [0, 1, 2])
def test_a_kept_prefix_stays_while_other_sequences_step(
    random_bundle: Path, kept: int, waiting: int, kind: str
):
    sessions = _sessions(random_bundle, stage="coarse")
    decoders = [StaticCacheDecoder(sessions, 4), FOR_GPUS[kind](sessions, 4)]
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


@pytest.mark.parametrize("kind", ["cuda_graph", "device_cache"])
def test_a_sequence_that_fills_its_cache_is_kept_but_for_its_last_token(
    random_bundle: Path, kind: str
):
    sessions = _sessions(random_bundle, stage="coarse")
    decoders = [StaticCacheDecoder(sessions, 2), FOR_GPUS[kind](sessions, 2)]
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


class _Counted:
    """A session that records the shape of the tokens of each run."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.runs: list[tuple[int, ...]] = []

    def io_binding(self) -> Any:
        binding = self.session.io_binding()
        bind = binding.bind_cpu_input

        def bind_cpu_input(name: str, array: np.ndarray) -> None:
            if name == "input_ids":
                self.runs.append(array.shape)
            bind(name, array)

        binding.bind_cpu_input = bind_cpu_input
        return binding

    def run_with_iobinding(self, binding: Any) -> None:
        self.session.run_with_iobinding(binding)


def test_a_device_of_narrow_runs_gets_prompts_in_parts_and_computes_the_same(random_bundle: Path):
    sessions = _sessions(random_bundle)
    counted = _Counted(sessions.prefill)
    narrow = _device_cache(dataclasses.replace(sessions, prefill=counted), 2, max_run_tokens=31)
    whole = _device_cache(sessions, 2)
    for past_length, count in ((0, 100), (20, 45)):
        ours, theirs = (
            _prefill(each, count, past_length=past_length, slot=1) for each in (narrow, whole)
        )
        np.testing.assert_allclose(ours, theirs, atol=2e-4, rtol=0)
    assert counted.runs == [(1, 25)] * 4 + [(1, 22), (1, 23)]


def test_the_rows_of_a_device_grow_to_powers_of_two_and_steps_run_all_of_them(random_bundle: Path):
    sessions = _sessions(random_bundle)
    counted = _Counted(sessions.decode)
    decoder = _device_cache(dataclasses.replace(sessions, decode=counted), 5)
    for slot in range(5):
        _prefill(decoder, 3 + slot, slot=slot)
        decoder.decode(IDS[: slot + 1])
    assert counted.runs == [(1, 1), (2, 1), (4, 1), (4, 1), (5, 1)]


def test_preparing_leaves_one_row_and_no_sequence(random_bundle: Path):
    sessions = _sessions(random_bundle)
    counted = _Counted(sessions.decode)
    decoder = _device_cache(dataclasses.replace(sessions, decode=counted), 4)
    decoder.prepare()
    assert counted.runs == [(1, 1), (2, 1), (4, 1)]
    assert decoder.lengths.tolist() == [0, 0, 0, 0]
    fresh = _device_cache(sessions, 4)
    for each in (decoder, fresh):
        _prefill(each, 20)
    np.testing.assert_array_equal(decoder.decode(IDS[:1]), fresh.decode(IDS[:1]))
    assert counted.runs[3:] == [(1, 1)]


@pytest.mark.parametrize("stage", ["semantic", "coarse"])
def test_scores_of_a_gpu_are_the_largest_logits_and_their_sum(
    half_bundle: Path, stage: CausalStage
):
    sessions = _sessions(half_bundle, precision="fp16", stage=stage, for_draws=True)
    rng = np.random.default_rng(4)
    decoder = CudaGraphDecoder(sessions, 5, "cpu")
    for slot in range(5):
        step = StepInput(rng.integers(0, 10_000, 7 + slot), 0)
        scores = decoder.prefill_scores([slot], [step])
    _check_scores(scores, stage)
    decoder.swap_slots(1, 4)
    _check_scores(decoder.decode_scores(rng.integers(10_000, 10_200, 5)), stage)


def test_a_shared_prefill_computes_what_single_ones_do(random_bundle: Path):
    sessions = _sessions(random_bundle)
    shared, single = (CudaGraphDecoder(sessions, 5, "cpu") for _ in range(2))
    steps = [StepInput(np.random.default_rng(slot).integers(0, 10_000, 40), 0) for slot in range(5)]
    for decoder in (shared, single):
        _prefill(decoder, 9, slot=2)
        decoder.swap_slots(0, 4)  # in the cache: 4, 1, 2, 3, 0
    assert shared.shared_prefill([3, 0, 1, 4]) == [3, 0]
    assert shared.shared_prefill([1, 0, 3, 4]) == [4, 1]
    for slots in ([3, 0], [4, 1]):
        together = shared.prefill_scores(slots, [steps[slot] for slot in slots]).whole().copy()
        alone = [single.prefill(slot, steps[slot]).copy() for slot in slots]
        np.testing.assert_allclose(together, alone, atol=1e-5, rtol=0)
    np.testing.assert_array_equal(shared.lengths, [40, 40, 9, 40, 40])
    ours, theirs = (each.decode(IDS[:5]) for each in (shared, single))
    np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=0)


def _check_scores(scores: StepScores, stage: CausalStage) -> None:
    logits, top = scores.whole(), scores.top
    assert top is not None
    found = np.take_along_axis(logits, top.ids.astype(np.int64), 1)
    np.testing.assert_array_equal(found, top.logits)
    assert (np.diff(top.logits, axis=1) <= 0).all()
    summed = np.log(np.exp(logits.astype(np.float64)).sum(1))
    np.testing.assert_allclose(top.log_sum_exp, summed, rtol=1e-5)
    if stage == "semantic":
        np.testing.assert_array_equal(top.end_logit, logits[:, -1])
        np.testing.assert_array_equal(top.logits[:, 0], logits.max(1))


def test_the_logits_of_the_graph_with_top_logits_are_those_of_the_other(half_bundle: Path):
    found, expected = (
        CudaGraphDecoder(_sessions(half_bundle, precision="fp16", for_draws=for_draws), 2, "cpu")
        for for_draws in (True, False)
    )
    for each in (found, expected):
        _prefill(each, 20)
    np.testing.assert_array_equal(found.decode(IDS[:1]), expected.decode(IDS[:1]))
