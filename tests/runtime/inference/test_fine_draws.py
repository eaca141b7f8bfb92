"""Passes of the fine stage whose codes the graph draws, against draws from the logits."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.runtime.inference.fine import CodeDraw, FineModel, FinePass, run_fine_passes
from bark_onnx.runtime.inference.providers.cpu import CpuProvider
from bark_onnx.runtime.inference.sessions import ExecutionTarget, open_session

RNG = np.random.default_rng(0)
FRAMES = np.arange(20, 64)
SEQUENCES = 4


class _Counted:
    """A session that records the outputs of each run."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.runs: list[list[str]] = []

    def run(self, names: list[str], inputs: dict[str, Any]) -> Any:
        self.runs.append(names)
        return self.session.run(names, inputs)


def _model(folder: Path, *, draws: bool) -> FineModel:
    bundle = Bundle(folder)
    path = bundle.graph("fp16", "fine")
    if draws:
        found = bundle.draw_graph("fp16", "fine")
        assert found is not None
        path = found
    contract = bundle.contract("fine", "fp16", for_draws=draws)
    session = open_session(path, contract, ExecutionTarget(CpuProvider(), 1))
    return FineModel(_Counted(session), draws)


@pytest.fixture(scope="module")
def models(half_bundle: Path) -> tuple[FineModel, FineModel]:
    """A graph that draws, and one that returns logits."""
    return _model(half_bundle, draws=True), _model(half_bundle, draws=False)


def _passes(draws: list[CodeDraw | None], codebook: int = 3) -> list[FinePass]:
    codes = np.random.default_rng(1).integers(0, 1024, (len(draws), 64, 8))
    return [FinePass(each, codebook, FRAMES, draw) for each, draw in zip(codes, draws, strict=True)]


def _draw(temperature: float) -> CodeDraw:
    return CodeDraw(temperature, RNG.random(len(FRAMES)))


@pytest.mark.parametrize(
    ("draws", "outputs"),
    [
        ([_draw(0.5), _draw(1.0), _draw(1.5)], ["drawn_codes"]),
        ([CodeDraw(1.0, None)] * 2, ["largest_codes"]),
        ([CodeDraw(0.0, None), _draw(0.7)], ["drawn_codes", "largest_codes"]),
    ],
    ids=["sampled", "greedy", "both"],
)
def test_codes_of_the_graph_are_those_from_its_logits(
    models: tuple[FineModel, FineModel], draws: list[CodeDraw | None], outputs: list[str]
):
    drawing, plain = models
    found, expected = (run_fine_passes(model, _passes(draws)) for model in models)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype == np.int64
        np.testing.assert_array_equal(ours, theirs)
    assert drawing.session.runs[-1] == outputs
    assert plain.session.runs[-1] == ["logits"]


def test_a_pass_without_a_draw_receives_its_logits(models: tuple[FineModel, FineModel]):
    found, expected = (run_fine_passes(model, _passes([None, None])) for model in models)
    assert np.shape(found) == (2, len(FRAMES), 1056) or np.ndim(found) == 3
    np.testing.assert_array_equal(found, expected)
