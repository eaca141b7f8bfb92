"""Cancelled requests release their slots before the next step and disturb no other request."""

from concurrent.futures import CancelledError

import pytest

from bark_onnx.graphs.contract import Stage
from bark_onnx.runtime.engine.future import SpeechFuture
from tests.runtime.engine.conftest import Open
from tests.support.engine import PATIENCE, Gate, outcome, submit
from tests.support.scripted import Utterance


@pytest.mark.parametrize("stage", ["semantic", "coarse", "fine"])
@pytest.mark.parametrize("low_memory", [False, True])
def test_a_cancelled_request_makes_no_further_step(
    open_engine: Open, stage: Stage, low_memory: bool
):
    engine, models = open_engine(2, low_memory=low_memory)
    futures: list[SpeechFuture] = []
    runs: list[Stage] = []

    def cancel(now: Stage) -> None:
        runs.append(now)
        if now == stage:
            futures[1].cancel()

    others = [Utterance(0), Utterance(2)]
    with Gate(models) as gate:
        futures += submit(engine, others[0], Utterance(1, on_run=cancel), others[1])
        gate.wait()
    assert isinstance(outcome(futures[1]), CancelledError)
    assert (futures[1].done(), futures[1].cancelled()) == (True, True)
    assert runs.count(stage) == 1
    assert runs[-1] == stage
    assert [outcome(futures[0]), outcome(futures[2])] == [each.alone() for each in others]
    assert engine.status().running == 0


def test_a_request_cancelled_in_its_last_run_completes(open_engine: Open):
    engine, models = open_engine()
    with Gate(models, "codec") as gate:
        (future,) = submit(engine, Utterance(0))
        gate.wait()
        assert future.cancel()
    assert future.result(PATIENCE) == Utterance(0).alone()


def test_a_waiting_request_can_be_cancelled(open_engine: Open):
    for low_memory in (False, True):
        engine, models = open_engine(1, low_memory=low_memory)
        with Gate(models) as gate:
            futures = submit(engine, *(Utterance(name) for name in range(3)))
            gate.wait()
            assert futures[1].cancel()
            assert futures[1].cancel()
        assert isinstance(outcome(futures[1]), CancelledError)
        assert futures[1].timings.started is None
        assert futures[2].result(PATIENCE) == Utterance(2).alone()


def test_cancelling_a_finished_request_changes_nothing(open_engine: Open):
    engine, _ = open_engine()
    (future,) = submit(engine, Utterance(0))
    result = future.result(PATIENCE)
    assert not future.cancel()
    assert (future.done(), future.cancelled(), future.result()) == (True, False, result)
    assert repr(future) == "SpeechFuture(done)"


def test_cancelling_a_cancelled_request_again_reports_it_as_cancelled(open_engine: Open):
    engine, models = open_engine(1)
    with Gate(models) as gate:
        _, future = submit(engine, Utterance(0), Utterance(1))
        gate.wait()
        future.cancel()
    outcome(future)
    assert future.cancel()
    assert repr(future) == "SpeechFuture(cancelled)"
