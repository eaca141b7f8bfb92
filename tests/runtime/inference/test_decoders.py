"""Decoders on real graphs: however tokens are fed, the logits after them are the same."""

import dataclasses
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
from bark_onnx.runtime.inference.sessions import ExecutionTarget, open_session

RNG = np.random.default_rng(0)
IDS = RNG.integers(0, 10_000, 1024)
HISTORY = RNG.integers(0, 10_000, 1024)


def _graphs(folder: Path, *, precision: str = "fp32", stage: CausalStage = "semantic") -> Any:
    bundle = Bundle(folder)
    contract = bundle.contract(stage, precision)
    session = open_session(bundle.graph(precision, stage), contract, ExecutionTarget("cpu", 1))
    return CausalSessions(session, session, contract, getattr(bundle.manifest.shapes, stage))


@pytest.fixture(scope="module")
def in_place(demo_bundle: Path) -> Decoder:
    return StaticCacheDecoder(_graphs(demo_bundle), 2)


@pytest.fixture(scope="module")
def device(demo_bundle: Path) -> Decoder:
    return CudaGraphDecoder(_graphs(demo_bundle), 5, "cpu")


@pytest.fixture(scope="module")
def growing(standard_bundle: Path) -> Decoder:
    return DynamicCacheDecoder(_graphs(standard_bundle), 1, "cpu")


@pytest.fixture(params=["in_place", "device"])
def fused(request: pytest.FixtureRequest) -> Decoder:
    """Both decoders of fused graphs; the one for GPUs in the process's own memory."""
    return request.getfixturevalue(request.param)


def _feed(decoder: Decoder, count: int, *, past_length: int = 0, slot: int = 0) -> np.ndarray:
    part = slice(past_length, past_length + count)
    return decoder.feed(slot, StepInput(IDS[part], past_length, HISTORY[part])).copy()


@pytest.mark.parametrize("count", [1, 255, 256, 257, 512, 700, 887, 1024])
def test_a_prompt_of_any_length_has_the_logits_of_the_growing_form(
    fused: Decoder, growing: Decoder, count: int
):
    ours, theirs = _feed(fused, count, slot=1), _feed(growing, count)
    np.testing.assert_allclose(ours, theirs, atol=2e-4, rtol=0)
    assert fused.lengths[1] == growing.lengths[0] == count


@pytest.mark.parametrize("kept", [1, 300, 600])
def test_a_prompt_goes_on_from_what_is_kept_of_the_last(
    fused: Decoder, growing: Decoder, kept: int
):
    expected = _feed(growing, 887)
    _feed(fused, 700)
    np.testing.assert_allclose(
        _feed(fused, 887 - kept, past_length=kept), expected, atol=2e-4, rtol=0
    )


class _Watched:
    """A session that remembers how many tokens each run had."""

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
def watched(demo_bundle: Path) -> tuple[Decoder, list[int]]:
    graphs = _graphs(demo_bundle)
    session = _Watched(graphs.prompt)
    return StaticCacheDecoder(dataclasses.replace(graphs, prompt=session), 1), session.runs


@pytest.mark.parametrize(
    ("count", "runs"), [(257, [257]), (301, [150, 151]), (887, [295, 296, 296])]
)
def test_long_prompts_run_in_parts(watched: tuple[Decoder, list[int]], count: int, runs: list[int]):
    decoder, seen = watched
    _feed(decoder, count)
    assert sorted(seen) == runs


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_rows_that_come_and_go_say_on_a_device_what_they_say_in_place(
    demo_bundle: Path, half_bundle: Path, precision: str
):
    bundle = demo_bundle if precision == "fp32" else half_bundle
    graphs = _graphs(bundle, precision=precision, stage="coarse")
    decoders = [StaticCacheDecoder(graphs, 5), CudaGraphDecoder(graphs, 5, "cpu")]
    rng = np.random.default_rng(1)
    rows = 0
    for _ in range(60):
        event = rng.integers(0, 4)
        if rows < 5 and (rows == 0 or event == 0):
            feed = StepInput(rng.integers(0, 10_000, rng.integers(1, 60)), 0)
            found = [decoder.feed(rows, feed).copy() for decoder in decoders]
            rows += 1
        elif rows > 1 and event == 1:
            leaving = int(rng.integers(0, rows - 1))
            for decoder in decoders:
                decoder.copy_slot(rows - 1, leaving)
            rows -= 1
            continue
        elif rows > 1 and event == 2:
            pair = rng.choice(rows, 2, replace=False).tolist()
            for decoder in decoders:
                decoder.swap_slots(*pair)
            continue
        else:
            input_ids = rng.integers(0, 10_000, rows)
            found = [decoder.step(input_ids).copy() for decoder in decoders]
        assert decoders[0].lengths[:rows].tolist() == decoders[1].lengths[:rows].tolist()
        np.testing.assert_allclose(found[1], found[0], atol=1e-4 if precision == "fp32" else 0.05)


def test_a_row_keeps_its_cache_on_a_device_when_it_moves(device: Decoder):
    _feed(device, 40, slot=0)
    _feed(device, 90, slot=1)
    alone = device.step(IDS[[40, 90]])[1].copy()
    _feed(device, 40, slot=0)
    _feed(device, 90, slot=1)
    device.copy_slot(1, 0)
    np.testing.assert_allclose(device.step(IDS[[90]])[0], alone, atol=1e-4, rtol=0)
    assert device.lengths[0] == 91


@pytest.mark.parametrize("kind", ["in_place", "device", "growing"])
def test_slots_that_are_exchanged_go_on_as_before(
    demo_bundle: Path, standard_bundle: Path, kind: str
):
    if kind == "in_place":
        decoder: Decoder = StaticCacheDecoder(_graphs(demo_bundle), 3)
    elif kind == "device":
        decoder = CudaGraphDecoder(_graphs(demo_bundle), 3, "cpu")
    else:
        decoder = DynamicCacheDecoder(_graphs(standard_bundle), 3, "cpu")
    lengths = [5, 40, 17]
    for slot, count in enumerate(lengths):
        _feed(decoder, count, slot=slot)
    expected = decoder.step(IDS[:3]).copy()
    for slot, count in enumerate([40, 5, 17]):
        _feed(decoder, count, slot=slot)
    decoder.swap_slots(0, 1)
    assert decoder.lengths.tolist() == lengths
    np.testing.assert_array_equal(decoder.step(IDS[:3]), expected)
