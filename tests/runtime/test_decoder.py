"""Decoders on real graphs: however tokens are fed, the logits after them are the same."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bark_onnx.runtime.bundle import Bundle
from bark_onnx.runtime.decoder import CausalSessions, open_decoder
from bark_onnx.runtime.rows import Decoder, Feed
from bark_onnx.runtime.sessions import Device, open_session

RNG = np.random.default_rng(0)
IDS = RNG.integers(0, 10_000, 1024)
HISTORY = RNG.integers(0, 10_000, 1024)


def _open(folder: Path, slots: int = 2) -> Decoder:
    bundle = Bundle(folder)
    contract = bundle.contract("semantic")
    session = open_session(bundle.graph("fp32", "semantic"), contract, Device("cpu", 1))
    shape = bundle.manifest.shapes.semantic
    return open_decoder(CausalSessions(session, session), contract, shape, slots)


@pytest.fixture(scope="module")
def fused(demo_bundle: Path) -> Decoder:
    return _open(demo_bundle)


@pytest.fixture(scope="module")
def growing(standard_bundle: Path) -> Decoder:
    return _open(standard_bundle)


def _feed(decoder: Decoder, count: int, *, start: int = 0, slot: int = 0) -> np.ndarray:
    part = slice(start, start + count)
    return decoder.feed(slot, Feed(IDS[part], start, HISTORY[part])).copy()


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
    np.testing.assert_allclose(_feed(fused, 887 - kept, start=kept), expected, atol=2e-4, rtol=0)


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
def watched(demo_bundle: Path) -> Iterator[tuple[Decoder, list[int]]]:
    bundle = Bundle(demo_bundle)
    contract = bundle.contract("semantic")
    session = _Watched(open_session(bundle.graph("fp32", "semantic"), contract, Device("cpu", 1)))
    shape = bundle.manifest.shapes.semantic
    yield open_decoder(CausalSessions(session, session), contract, shape, 1), session.runs


@pytest.mark.parametrize(
    ("count", "runs"), [(256, [256]), (257, [128, 129]), (887, [221, 222, 222, 222])]
)
def test_long_prompts_run_in_parts(watched: tuple[Decoder, list[int]], count: int, runs: list[int]):
    decoder, seen = watched
    _feed(decoder, count)
    assert sorted(seen) == runs
