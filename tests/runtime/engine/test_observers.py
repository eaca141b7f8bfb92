"""Observers, the status and the timings of requests agree with what the models ran."""

import logging

import pytest

from bark_onnx.graphs.contract import STAGES, Stage
from bark_onnx.runtime.engine.future import SpeechFuture, wait_all
from tests.runtime.engine.conftest import Open
from tests.support.engine import PATIENCE, Gate, submit, submit_group
from tests.support.scripted import Utterance


class Steps:
    """An observer that records every step."""

    def __init__(self) -> None:
        self.seen: list[tuple[Stage, int]] = []

    def on_step(self, stage: Stage, batch_size: int, seconds: float) -> None:
        assert seconds >= 0
        self.seen.append((stage, batch_size))

    def batch_sizes(self, stage: Stage) -> list[int]:
        return [batch_size for seen, batch_size in self.seen if seen == stage]


def test_observers_receive_the_steps_that_the_status_counts(open_engine: Open):
    engine, models = open_engine(2)
    steps = Steps()
    engine.add_observer(steps)
    wait_all(submit_group(engine, *(Utterance(name) for name in range(5))))
    engine.close()
    status = engine.status().stages
    for stage in STAGES:
        sizes = steps.batch_sizes(stage)
        assert (status[stage].steps, status[stage].sequences) == (len(sizes), sum(sizes))
    for stage in STAGES[:2]:
        assert steps.batch_sizes(stage) == models.decoders[stage].batch_sizes
    # All tokens except those after a prefill.
    assert status["semantic"].sequences == 5 * 3
    assert status["coarse"].sequences == 5 * (4 + 1)
    assert (status["fine"].sequences, status["codec"].sequences) == (5 * 3, 5)


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_an_observer_that_raises_is_logged_and_removed(
    open_engine: Open, caplog: pytest.LogCaptureFixture, error: type[BaseException]
):
    engine, _ = open_engine()
    calls = []

    class Broken:
        def on_step(self, stage: Stage, batch_size: int, seconds: float) -> None:
            calls.append(stage)
            raise error("in an observer")

    steps = Steps()
    engine.add_observer(Broken())
    engine.add_observer(steps)
    (future,) = submit(engine, Utterance(0))
    assert future.result(PATIENCE) == Utterance(0).alone()
    assert len(calls) == 1
    assert len(steps.seen) > 1
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "in an observer" in caplog.text


def test_the_status_counts_running_and_waiting_requests(open_engine: Open):
    engine, models = open_engine(2)
    assert engine.status().stages["coarse"].slots == 2
    assert engine.status().stages["fine"].slots == 1
    with Gate(models) as gate:
        futures = submit(engine, Utterance(0))
        gate.wait()
        futures += submit(engine, *(Utterance(name) for name in range(1, 5)))
        status = engine.status()
        assert (status.running, status.waiting) == (1, 4)
        assert status.stages["semantic"].slots_in_use == 1
        assert status.stages["semantic"].steps == 0
    for future in futures:
        future.result(PATIENCE)
    status = engine.status()
    assert (status.running, status.waiting) == (0, 0)


def test_the_status_excludes_a_request_when_its_end_is_visible(open_engine: Open):
    engine, models = open_engine(2)
    seen: list[tuple[int, int]] = []

    def look(future: SpeechFuture) -> None:
        status = engine.status()
        seen.append((status.waiting + status.running, status.stages["codec"].steps))

    with Gate(models) as gate:
        futures = submit(engine, Utterance(0), Utterance(1))
        gate.wait()
        for future in futures:
            future.add_done_callback(look)
    wait_all(futures)
    engine.close()
    assert seen == [(1, 1), (0, 2)]


def test_timings_record_when_a_request_was_in_which_stage(open_engine: Open):
    engine, models = open_engine(1)
    with Gate(models) as gate:
        futures = submit(engine, Utterance(0), Utterance(1))
        gate.wait()
        assert list(futures[0].timings.stages) == ["semantic"]
        assert futures[0].timings.stages["semantic"].finished is None
        assert futures[0].timings.finished is None
        with pytest.raises(TimeoutError):
            futures[1].result(0)
    for future in futures:
        future.result(PATIENCE)
        timings = future.timings
        times = [timings.submitted, timings.started]
        for stage in STAGES:
            times += [timings.stages[stage].started, timings.stages[stage].finished]
        times.append(timings.finished)
        assert times == sorted(times)
    first, second = (future.timings.stages["semantic"] for future in futures)
    assert second.started >= first.finished
