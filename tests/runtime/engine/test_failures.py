"""Errors end the requests that they concern; the engine continues unless it fails itself."""

import threading
from concurrent.futures import CancelledError

import pytest

from bark_onnx.graphs.contract import STAGES, Stage
from bark_onnx.graphs.errors import BundleError, EngineError
from bark_onnx.runtime.engine.future import wait_all
from tests.runtime.engine.conftest import Open
from tests.support.engine import PATIENCE, Gate, outcome, submit, submit_group
from tests.support.messages import assert_one_line
from tests.support.scripted import Script, Utterance


def test_remaining_requests_of_a_group_continue_when_others_fail_or_are_cancelled(
    open_engine: Open,
):
    engine, models = open_engine(3)

    def fail(stage: Stage) -> None:
        raise ZeroDivisionError

    short = Script([(0.0, 2, 2)])
    group = [Utterance(0, short), Utterance(1, on_run=fail), Utterance(2)]
    with Gate(models, run=5) as gate:
        futures = submit_group(engine, *group)
        gate.wait()
        futures[2].cancel()
    assert futures[0].result(PATIENCE) == group[0].alone()
    assert isinstance(outcome(futures[1]), ZeroDivisionError)
    assert futures[2].cancelled()


def test_a_stage_that_cannot_be_opened_fails_the_requests_that_wait_for_it(open_engine: Open):
    engine, models = open_engine(2, low_memory=True)

    def refuse(stage: Stage) -> None:
        if stage == "coarse":
            raise BundleError("coarse.onnx: altered")

    models.before_open = refuse
    errors = [outcome(future) for future in submit(engine, Utterance(0), Utterance(1))]
    assert [str(error) for error in errors] == ["coarse.onnx: altered"] * 2
    assert all(isinstance(error, BundleError) for error in errors)
    models.before_open = lambda stage: None
    (again,) = submit(engine, Utterance(2))
    assert again.result(PATIENCE) == Utterance(2).alone()


@pytest.mark.parametrize("stage", STAGES)
def test_a_failed_run_fails_the_requests_that_shared_it_and_the_engine_continues(
    open_engine: Open, stage: Stage
):
    engine, models = open_engine(2)
    run = 3 if stage in ("semantic", "coarse") else 1  # after the prefills of two sequences

    def fail(now: Stage, count: int) -> None:
        if (now, count) == (stage, run):
            raise RuntimeError("[ONNXRuntimeError] : 6\nat a place")

    models.before = fail
    utterances = [Utterance(name) for name in range(4)]
    outcomes = [outcome(future) for future in submit_group(engine, *utterances)]
    failed = [each for each in outcomes if isinstance(each, EngineError)]
    assert len(failed) == (2 if run == 3 else 1)
    assert len({id(error) for error in failed}) == len(failed)
    for error in failed:
        assert_one_line(error, stage, "RuntimeError", "[ONNXRuntimeError] : 6", "export it again")
        assert isinstance(error.__cause__, RuntimeError)
    for utterance, found in zip(utterances, outcomes, strict=True):
        if found not in failed:
            assert found == utterance.alone()
    (again,) = submit(engine, Utterance(5))
    assert again.result(PATIENCE) == Utterance(5).alone()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3)])
def test_a_failed_request_leaves_the_others_alone(
    open_engine: Open, stage: Stage, error: BaseException
):
    engine, _ = open_engine(2)

    def fail(now: Stage) -> None:
        if now == stage:
            raise error

    futures = submit(engine, Utterance(0), Utterance(1, on_run=fail), Utterance(2))
    with pytest.raises(type(error)) as caught:
        futures[1].result(PATIENCE)
    assert caught.value is error
    assert futures[1].exception() is error
    assert repr(futures[1]) == "SpeechFuture(failed)"
    results = [outcome(futures[0]), outcome(futures[2])]
    assert results == [Utterance(0).alone(), Utterance(2).alone()]


def test_wait_all_ends_at_the_first_failure_and_cancels_the_rest(open_engine: Open):
    engine, models = open_engine(2)
    noticed = threading.Event()

    def fail(stage: Stage) -> None:
        raise ZeroDivisionError

    def linger(stage: Stage) -> None:
        if stage == "coarse":
            assert noticed.wait(PATIENCE)

    with Gate(models):  # both are submitted before the other one lingers
        futures = submit(engine, Utterance(0, on_run=linger), Utterance(1, on_run=fail))
    with pytest.raises(ZeroDivisionError):
        wait_all(futures)
    noticed.set()
    assert isinstance(outcome(futures[0]), CancelledError)


@pytest.mark.parametrize("low_memory", [False, True])
def test_an_engine_that_dies_fails_every_request_and_refuses_new_ones(
    open_engine: Open, low_memory: bool, caplog: pytest.LogCaptureFixture
):
    engine, models = open_engine(1, low_memory=low_memory)
    bug = KeyError("a bug")

    def die(busy: object) -> Stage:
        raise bug

    with Gate(models) as gate:
        futures = submit(engine, *(Utterance(name) for name in range(3)))
        gate.wait()
        engine._scheduler.policy.next_stage = die  # type: ignore[method-assign]
        futures += submit(engine, Utterance(4))
    for future in futures:
        error = outcome(future)
        assert isinstance(error, EngineError)
        assert_one_line(error, "died", "KeyError", "load the bundle again")
        assert error.__cause__ is bug
    with pytest.raises(EngineError, match="died"):
        submit(engine, Utterance(5))
    assert "The engine died" in caplog.text
    assert engine.status().waiting == 0
    engine.close()
    assert models.closed


def test_an_engine_that_dies_still_resolves_requests_that_ended_in_the_same_step(
    open_engine: Open,
):
    engine, models = open_engine(2, low_memory=True)

    def die(busy: object) -> Stage:
        raise KeyError("a bug")

    def empty() -> object:
        return "nothing"
        yield

    with Gate(models) as gate:
        futures = submit(engine, Utterance(0))
        gate.wait()
        engine._scheduler.policy.can_admit = lambda unfinished: True  # type: ignore[method-assign]
        engine._scheduler.policy.next_stage = die  # type: ignore[method-assign]
        futures += engine.submit([empty()], keepalive=None)  # ends when it is admitted
    assert isinstance(outcome(futures[0]), EngineError)
    assert outcome(futures[1]) == "nothing"


def test_models_are_prepared_once_in_the_thread_that_runs_them(open_engine: Open):
    engine, models = open_engine()
    threads: list[str] = []
    models.before_prepare = lambda: threads.append(threading.current_thread().name)
    engine.prepare()
    engine.prepare()
    (future,) = submit(engine, Utterance(0))
    outcome(future)
    assert threads == ["bark-onnx engine"]


def test_models_that_cannot_be_prepared_end_the_engine_with_their_error(
    open_engine: Open, caplog: pytest.LogCaptureFixture
):
    engine, models = open_engine()

    def fail() -> None:
        raise EngineError("no memory for steps")

    models.before_prepare = fail
    with pytest.raises(EngineError, match="no memory for steps"):
        engine.prepare()
    with pytest.raises(EngineError, match="no memory for steps"):
        submit(engine, Utterance(0))
    engine.close()
    assert models.closed
    assert caplog.records == []
