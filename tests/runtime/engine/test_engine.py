"""The engine on scripted stages: requests share steps and nothing else, and each of them ends."""

import gc
import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bark_onnx.graphs.contract import STAGES, Stage
from bark_onnx.graphs.errors import BundleError, ClosedError, EngineError, QueueFullError
from bark_onnx.runtime.engine.engine import Engine
from bark_onnx.runtime.engine.future import SpeechFuture, wait_all
from tests.support.messages import assert_one_line
from tests.support.scripted import Script, ScriptedModels, Utterance

PATIENCE = 30.0  # seconds until a test that hangs fails
Open = Callable[..., tuple[Engine, ScriptedModels]]


@pytest.fixture
def open_engine() -> Iterator[Open]:
    """Makes engines on scripted stages, and closes them."""
    engines = []

    def make(
        max_batch_size: int = 2, *, low_memory: bool = False, max_queue: int | None = None
    ) -> tuple[Engine, ScriptedModels]:
        stages = ScriptedModels(max_batch_size, low_memory=low_memory)
        engines.append(Engine(stages, max_queue=max_queue))
        return engines[-1], stages

    yield make
    for engine in engines:
        engine.close()
        assert engine._thread is None or not engine._thread.is_alive()


def submit(engine: Engine, *utterances: Utterance) -> list[SpeechFuture]:
    """Each as a call of its own."""
    return [engine.submit([each.synthesis()], owner=None)[0] for each in utterances]


def finished(job: SpeechFuture) -> Any:
    """What became of a job: its result, or its error."""
    try:
        return job.result(PATIENCE)
    except (Exception, CancelledError) as error:
        return error


class Gate:
    """Holds the engine's thread up at its first run of a stage, until told to go on."""

    def __init__(self, stages: ScriptedModels, stage: Stage = "semantic", run: int = 1) -> None:
        self._reached, self._go_on = threading.Event(), threading.Event()
        self._where = (stage, run)
        stages.before = self._hold

    def __enter__(self) -> "Gate":
        return self

    def __exit__(self, *_: object) -> None:
        self._go_on.set()

    def reached(self) -> None:
        assert self._reached.wait(PATIENCE)

    def _hold(self, stage: Stage, run: int) -> None:
        if (stage, run) == self._where:
            self._reached.set()
            assert self._go_on.wait(PATIENCE)


# What is said


scripts = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.integers(1, 4), st.integers(1, 5)), max_size=3
).map(Script)
requests = st.builds(Utterance, st.just(0), scripts, scripts, st.integers(0, 3))


@settings(max_examples=60, deadline=None)
@given(
    utterances=st.lists(requests, min_size=1, max_size=9),
    max_batch_size=st.integers(1, 4),
    low_memory=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_each_says_what_it_says_alone_whenever_the_others_come(
    utterances: list[Utterance], max_batch_size: int, low_memory: bool, seed: int
):
    """They come in calls of several, at random steps of those that came before; some leave."""
    rng = np.random.default_rng(seed)
    stages = ScriptedModels(max_batch_size, low_memory=low_memory)
    engine = Engine(stages)
    waiting = [*utterances]
    for name, utterance in enumerate(utterances):
        utterance.name = name
    jobs: list[SpeechFuture] = []
    cancelled = set()

    def come(stage: str = "", run: int = 0) -> None:
        if waiting and (not run or rng.random() < 0.3):
            count = int(rng.integers(1, len(waiting) + 1))
            jobs.extend(engine.submit([each.synthesis() for each in waiting[:count]], owner=None))
            del waiting[:count]
        if rng.random() < 0.03:
            index = int(rng.integers(len(jobs)))
            jobs[index].cancel()
            cancelled.add(index)

    stages.before = come
    try:
        come()
        while waiting or not all(job.done() for job in jobs):
            for job in [*jobs]:
                finished(job)
            if waiting:
                come()
        for index, utterance in enumerate(utterances):
            if not jobs[index].cancelled():
                assert jobs[index].result() == utterance.alone()
            else:
                assert index in cancelled
        status = engine.status()
        assert (status.waiting, status.running) == (0, 0)
        assert all(stage.slots_in_use == 0 for stage in status.stages.values())
    finally:
        engine.close()


def test_a_call_of_several_enters_the_coarse_stage_together(open_engine: Open):
    engine, stages = open_engine(3)
    lengths = (3, 9, 6)
    calls = [Utterance(i, Script([(0.0, 2, n)]), fine=0) for i, n in enumerate(lengths)]
    wait_all(engine.submit([each.synthesis() for each in calls], owner=None))
    last = len(stages.units) - stages.units[::-1].index("semantic")
    assert "coarse" not in stages.units[:last]
    # Two windows of a prompt and, after the first one, four steps; then one step.
    assert stages.decoders["coarse"].steps == [3] * 5


def test_those_of_a_call_that_are_left_go_on_when_others_fail_or_are_cancelled(open_engine: Open):
    engine, stages = open_engine(3)

    def fail(stage: Stage) -> None:
        raise ZeroDivisionError

    short = Script([(0.0, 2, 2)])
    calls = [Utterance(0, short), Utterance(1, on_unit=fail), Utterance(2)]
    with Gate(stages, run=5) as gate:
        jobs = engine.submit([each.synthesis() for each in calls], owner=None)
        gate.reached()
        jobs[2].cancel()
    assert jobs[0].result(PATIENCE) == calls[0].alone()
    assert isinstance(finished(jobs[1]), ZeroDivisionError)
    assert jobs[2].cancelled()


def test_requests_join_the_steps_of_those_that_run(open_engine: Open):
    engine, stages = open_engine(2)
    first, second = (Utterance(name, Script([(0.0, 2, 20)])) for name in range(2))
    with Gate(stages, run=5) as gate:
        jobs = submit(engine, first)
        gate.reached()
        jobs += submit(engine, second)
    assert [finished(job) for job in jobs] == [first.alone(), second.alone()]
    assert stages.decoders["semantic"].steps[:6] == [1, 1, 1, 1, 2, 2]


# Whose turn it is


def test_a_request_in_a_late_stage_takes_turns_with_steps_of_others(open_engine: Open):
    engine, stages = open_engine()
    done, running = Utterance(0, Script([]), Script([]), fine=4), Utterance(1, Script([(0, 2, 9)]))
    with Gate(stages) as gate:
        jobs = submit(engine, running)
        gate.reached()
        jobs += submit(engine, done)
    for job in jobs:
        job.result(PATIENCE)
    first = stages.units.index("fine")
    assert stages.units[first : first + 8] == ["fine", "semantic"] * 4
    assert jobs[1].timings.finished < jobs[0].timings.finished


def test_low_memory_finishes_a_stage_before_the_next_is_opened(open_engine: Open):
    engine, stages = open_engine(2, low_memory=True)
    utterances = [Utterance(name, Script([(0.0, 2, 3 + name)])) for name in range(5)]
    with Gate(stages) as gate:
        jobs = submit(engine, utterances[0])
        gate.reached()
        # These come too late for the first time that the stages are opened.
        jobs += submit(engine, *utterances[1:])
    assert [finished(job) for job in jobs] == [each.alone() for each in utterances]
    assert stages.opened == [*STAGES, *STAGES]
    assert stages.open_now == set()


def test_a_stage_that_cannot_be_opened_fails_those_who_wait_for_it(open_engine: Open):
    engine, stages = open_engine(2, low_memory=True)

    def refuse(stage: Stage) -> None:
        if stage == "coarse":
            raise BundleError("coarse.onnx: altered")

    stages.before_open = refuse
    errors = [finished(job) for job in submit(engine, Utterance(0), Utterance(1))]
    assert [str(error) for error in errors] == ["coarse.onnx: altered"] * 2
    assert all(isinstance(error, BundleError) for error in errors)
    stages.before_open = lambda stage: None
    (again,) = submit(engine, Utterance(2))
    assert again.result(PATIENCE) == Utterance(2).alone()


# Cancelling


@pytest.mark.parametrize("stage", ["semantic", "coarse", "fine"])
@pytest.mark.parametrize("low_memory", [False, True])
def test_a_request_that_is_cancelled_makes_no_step_more(
    open_engine: Open, stage: Stage, low_memory: bool
):
    engine, stages = open_engine(2, low_memory=low_memory)
    jobs: list[SpeechFuture] = []
    units: list[Stage] = []

    def cancel(now: Stage) -> None:
        units.append(now)
        if now == stage:
            jobs[1].cancel()

    others = [Utterance(0), Utterance(2)]
    with Gate(stages) as gate:
        jobs += submit(engine, others[0], Utterance(1, on_unit=cancel), others[1])
        gate.reached()
    assert isinstance(finished(jobs[1]), CancelledError)
    assert (jobs[1].done(), jobs[1].cancelled()) == (True, True)
    assert units.count(stage) == 1
    assert units[-1] == stage
    assert [finished(jobs[0]), finished(jobs[2])] == [each.alone() for each in others]
    assert engine.status().running == 0


def test_a_request_that_is_cancelled_in_its_last_run_is_done(open_engine: Open):
    engine, stages = open_engine()
    with Gate(stages, "codec") as gate:
        (job,) = submit(engine, Utterance(0))
        gate.reached()
        job.cancel()
    assert job.result(PATIENCE) == Utterance(0).alone()


def test_a_request_that_waits_can_be_cancelled(open_engine: Open):
    for low_memory in (False, True):
        engine, stages = open_engine(1, low_memory=low_memory)
        with Gate(stages) as gate:
            jobs = submit(engine, *(Utterance(name) for name in range(3)))
            gate.reached()
            jobs[1].cancel()
            jobs[1].cancel()
        assert isinstance(finished(jobs[1]), CancelledError)
        assert jobs[1].timings.started is None
        assert jobs[2].result(PATIENCE) == Utterance(2).alone()


def test_cancelling_what_is_done_changes_nothing(open_engine: Open):
    engine, _ = open_engine()
    (job,) = submit(engine, Utterance(0))
    said = job.result(PATIENCE)
    job.cancel()
    assert (job.done(), job.cancelled(), job.result()) == (True, False, said)
    assert repr(job) == "SpeechFuture(done)"


# Failing


@pytest.mark.parametrize("stage", STAGES)
def test_a_run_that_fails_fails_those_that_shared_it_and_the_engine_goes_on(
    open_engine: Open, stage: Stage
):
    engine, stages = open_engine(2)
    step = 3 if stage in ("semantic", "coarse") else 1  # after the prompts of two rows

    def fail(now: Stage, run: int) -> None:
        if (now, run) == (stage, step):
            raise RuntimeError("[ONNXRuntimeError] : 6\nat a place")

    stages.before = fail
    utterances = [Utterance(name) for name in range(4)]
    jobs = engine.submit([each.synthesis() for each in utterances], owner=None)
    outcomes = [finished(job) for job in jobs]
    failed = [outcome for outcome in outcomes if isinstance(outcome, EngineError)]
    assert len(failed) == (2 if step == 3 else 1)
    assert len({id(error) for error in failed}) == len(failed)
    for error in failed:
        assert_one_line(error, stage, "RuntimeError", "[ONNXRuntimeError] : 6", "try again")
        assert isinstance(error.__cause__, RuntimeError)
    for utterance, outcome in zip(utterances, outcomes, strict=True):
        if outcome not in failed:
            assert outcome == utterance.alone()
    (again,) = submit(engine, Utterance(5))
    assert again.result(PATIENCE) == Utterance(5).alone()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3)])
def test_a_request_that_fails_fails_alone(open_engine: Open, stage: Stage, error: BaseException):
    engine, _ = open_engine(2)

    def fail(now: Stage) -> None:
        if now == stage:
            raise error

    jobs = submit(engine, Utterance(0), Utterance(1, on_unit=fail), Utterance(2))
    with pytest.raises(type(error)) as caught:
        jobs[1].result(PATIENCE)
    assert caught.value is error
    assert repr(jobs[1]) == "SpeechFuture(failed)"
    assert [finished(jobs[0]), finished(jobs[2])] == [Utterance(0).alone(), Utterance(2).alone()]


def test_the_first_to_fail_ends_the_waiting_for_several_and_cancels_the_rest(open_engine: Open):
    engine, stages = open_engine(2)
    noticed = threading.Event()

    def fail(stage: Stage) -> None:
        raise ZeroDivisionError

    def linger(stage: Stage) -> None:
        if stage == "coarse":
            assert noticed.wait(PATIENCE)

    with Gate(stages):  # the one that fails is there before the other comes to linger
        jobs = submit(engine, Utterance(0, on_unit=linger), Utterance(1, on_unit=fail))
    with pytest.raises(ZeroDivisionError):
        wait_all(jobs)
    noticed.set()
    assert isinstance(finished(jobs[0]), CancelledError)


@pytest.mark.parametrize("low_memory", [False, True])
def test_an_engine_that_dies_fails_every_job_and_takes_no_more(
    open_engine: Open, low_memory: bool, caplog: pytest.LogCaptureFixture
):
    engine, stages = open_engine(1, low_memory=low_memory)
    bug = KeyError("a bug")

    def die(busy: object) -> Stage:
        raise bug

    with Gate(stages) as gate:
        jobs = submit(engine, *(Utterance(name) for name in range(3)))
        gate.reached()
        engine._floor._turns.choose = die  # type: ignore[method-assign]
        jobs += submit(engine, Utterance(4))
    for job in jobs:
        error = finished(job)
        assert isinstance(error, EngineError)
        assert_one_line(error, "died", "KeyError", "load the bundle again")
        assert error.__cause__ is bug
    with pytest.raises(EngineError, match="died"):
        submit(engine, Utterance(5))
    assert "The engine died" in caplog.text
    assert engine.status().waiting == 0
    engine.close()
    assert stages.closed


# The queue


def test_a_full_queue_refuses_more_until_one_is_done(open_engine: Open):
    engine, stages = open_engine(2, max_queue=1)
    with Gate(stages) as gate:
        jobs = submit(engine, *(Utterance(name) for name in range(3)))
        gate.reached()
        with pytest.raises(QueueFullError) as caught:
            submit(engine, Utterance(3))
        assert_one_line(caught.value, "3 requests", "at most 3", "try again later")
        jobs[2].cancel()
    assert isinstance(finished(jobs[2]), CancelledError)
    (accepted,) = submit(engine, Utterance(4))
    assert accepted.result(PATIENCE) == Utterance(4).alone()


def test_a_call_that_does_not_fit_is_refused_as_a_whole(open_engine: Open):
    engine, _ = open_engine(2, max_queue=0)
    calls = [Utterance(name) for name in range(3)]
    with pytest.raises(QueueFullError):
        engine.submit([each.synthesis() for each in calls], owner=None)
    assert engine.status().waiting == 0
    jobs = engine.submit([each.synthesis() for each in calls[:2]], owner=None)
    assert wait_all(jobs) == [each.alone() for each in calls[:2]]


def test_no_requests_need_no_thread(open_engine: Open):
    engine, _ = open_engine()
    assert engine.submit([], owner=None) == []
    assert engine._thread is None


# The end


@pytest.mark.parametrize("low_memory", [False, True])
@pytest.mark.parametrize("stage", STAGES)
def test_closing_during_load_ends_every_job(open_engine: Open, stage: Stage, low_memory: bool):
    engine, stages = open_engine(2, low_memory=low_memory)
    with Gate(stages, stage) as gate:
        jobs = submit(engine, *(Utterance(name) for name in range(5)))
        jobs += engine.submit([Utterance(name).synthesis() for name in range(5, 9)], owner=None)
        gate.reached()
        engine.stop()
        with pytest.raises(ClosedError):
            submit(engine, Utterance(9))
    engine.close()
    engine.close()
    assert all(job.done() for job in jobs)
    for job in jobs:
        outcome = finished(job)
        if isinstance(outcome, Exception):
            assert isinstance(outcome, ClosedError)
            assert_one_line(outcome, "closed", "load the bundle again")
    assert isinstance(finished(jobs[-1]), ClosedError)
    assert stages.closed
    status = engine.status()
    assert (status.waiting, status.running) == (0, 0)
    with pytest.raises(ClosedError):
        submit(engine, Utterance(9))


def test_an_engine_that_never_began_can_be_closed(open_engine: Open):
    engine, stages = open_engine()
    engine.close()
    assert stages.closed
    with pytest.raises(ClosedError):
        submit(engine, Utterance(0))


def test_a_callback_may_close_the_engine(open_engine: Open):
    engine, stages = open_engine()
    # In one call, for the first may be quicker than a second call.
    both = [Utterance(0, on_unit=lambda stage: engine.close()), Utterance(1)]
    jobs = engine.submit([each.synthesis() for each in both], owner=None)
    assert [type(finished(job)) for job in jobs] == [ClosedError] * 2
    engine.close()
    assert stages.closed


def test_an_owner_lives_until_its_last_job_is_done_and_no_longer(open_engine: Open):
    class Owner:
        pass

    engine, stages = open_engine()
    owner = Owner()
    seen = weakref.ref(owner)
    gone = threading.Event()
    weakref.finalize(owner, gone.set)
    with Gate(stages) as gate:
        (job,) = engine.submit([Utterance(0).synthesis()], owner=owner)
        gate.reached()
        del owner
        gc.collect()
        assert seen() is not None
    job.result(PATIENCE)
    assert gone.wait(PATIENCE)


# Callbacks


def test_a_callback_hears_of_every_end_in_the_thread_of_the_engine(open_engine: Open):
    engine, stages = open_engine(1)
    heard: list[tuple[SpeechFuture, str]] = []
    all_heard = threading.Event()

    def hear(job: SpeechFuture) -> None:
        heard.append((job, threading.current_thread().name))
        if len(heard) == 4:
            all_heard.set()

    def fail(stage: Stage) -> None:
        raise ZeroDivisionError

    with Gate(stages) as gate:
        jobs = submit(engine, Utterance(0), Utterance(1, on_unit=fail), Utterance(2), Utterance(3))
        gate.reached()
        for job in jobs:
            job.add_done_callback(hear)
        jobs[2].cancel()
    assert all_heard.wait(PATIENCE)
    assert {job for job, _ in heard} == set(jobs)
    assert {name for _, name in heard} == {"bark-onnx engine"}
    late: list[SpeechFuture] = []
    jobs[0].add_done_callback(late.append)
    assert late == [jobs[0]]


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_a_callback_that_raises_is_logged_and_disturbs_nobody(
    open_engine: Open, caplog: pytest.LogCaptureFixture, error: type[BaseException]
):
    engine, stages = open_engine()

    def fail(job: SpeechFuture) -> None:
        raise error("in a callback")

    with Gate(stages) as gate:
        jobs = submit(engine, Utterance(0), Utterance(1))
        gate.reached()
        jobs[0].add_done_callback(fail)
    assert [finished(job) for job in jobs] == [Utterance(0).alone(), Utterance(1).alone()]
    assert "in a callback" in caplog.text


def test_waiting_in_the_thread_of_the_engine_is_refused(open_engine: Open):
    engine, _ = open_engine()
    caught: list[BaseException] = []
    submitted: list[SpeechFuture] = []

    def wait(stage: Stage) -> None:
        if not submitted:
            submitted.extend(submit(engine, Utterance(1)))
            for attempt in (submitted[0].result, lambda: wait_all(submitted)):
                with pytest.raises(EngineError) as error:
                    attempt()
                caught.append(error.value)

    (job,) = submit(engine, Utterance(0, on_unit=wait))
    assert job.result(PATIENCE) == Utterance(0).alone()
    assert len(caught) == 2
    for error in caught:
        assert_one_line(error, "engine callback", "deadlock", "use submit()")
    assert submitted[0].cancelled() or isinstance(finished(submitted[0]), CancelledError)


# What can be seen from outside


class Steps:
    """An observer that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[Stage, int]] = []

    def on_step(self, stage: Stage, sequences: int, seconds: float) -> None:
        assert seconds >= 0
        self.heard.append((stage, sequences))


def test_observers_hear_of_the_steps_that_the_status_counts(open_engine: Open):
    engine, stages = open_engine(2)
    steps = Steps()
    engine.add_observer(steps)
    utterances = [Utterance(name) for name in range(5)]
    wait_all(engine.submit([each.synthesis() for each in utterances], owner=None))
    engine.close()
    status = engine.status().stages
    for stage in STAGES:
        sequences = [sequences for heard, sequences in steps.heard if heard == stage]
        assert (status[stage].steps, status[stage].sequences) == (len(sequences), sum(sequences))
    for stage in STAGES[:2]:
        heard = [sequences for name, sequences in steps.heard if name == stage]
        assert heard == stages.decoders[stage].steps
    # Tokens but those that prompts give.
    assert status["semantic"].sequences == 5 * 3
    assert status["coarse"].sequences == 5 * (4 + 1)
    assert (status["fine"].sequences, status["codec"].sequences) == (5 * 3, 5)


def test_an_observer_that_raises_is_logged_and_dropped(
    open_engine: Open, caplog: pytest.LogCaptureFixture
):
    engine, _ = open_engine()
    calls = []

    class Broken:
        def on_step(self, stage: Stage, sequences: int, seconds: float) -> None:
            calls.append(stage)
            raise ValueError("in an observer")

    steps = Steps()
    engine.add_observer(Broken())
    engine.add_observer(steps)
    (job,) = submit(engine, Utterance(0))
    assert job.result(PATIENCE) == Utterance(0).alone()
    assert len(calls) == 1
    assert len(steps.heard) > 1
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "in an observer" in caplog.text


def test_the_status_says_who_runs_and_who_waits(open_engine: Open):
    engine, stages = open_engine(2)
    assert engine.status().stages["coarse"].slots == 2
    assert engine.status().stages["fine"].slots == 1
    with Gate(stages) as gate:
        jobs = submit(engine, Utterance(0))
        gate.reached()
        jobs += submit(engine, *(Utterance(name) for name in range(1, 5)))
        status = engine.status()
        assert (status.running, status.waiting) == (1, 4)
        assert status.stages["semantic"].slots_in_use == 1
        assert status.stages["semantic"].steps == 0
    for job in jobs:
        job.result(PATIENCE)
    status = engine.status()
    assert (status.running, status.waiting) == (0, 0)


def test_timings_say_when_a_job_was_in_which_stage(open_engine: Open):
    engine, stages = open_engine(1)
    with Gate(stages) as gate:
        jobs = submit(engine, Utterance(0), Utterance(1))
        gate.reached()
        assert repr(jobs[0]) == "SpeechFuture(running)"
        assert repr(jobs[1]) == "SpeechFuture(waiting)"
        assert list(jobs[0].timings.stages) == ["semantic"]
        assert jobs[0].timings.stages["semantic"].finished is None
        assert jobs[0].timings.finished is None
        with pytest.raises(TimeoutError):
            jobs[1].result(0)
    for job in jobs:
        job.result(PATIENCE)
        timings = job.timings
        times = [timings.submitted, timings.started]
        for stage in STAGES:
            times += [timings.stages[stage].started, timings.stages[stage].finished]
        times.append(timings.finished)
        assert times == sorted(times)
    first, second = (job.timings.stages["semantic"] for job in jobs)
    assert second.started >= first.finished
