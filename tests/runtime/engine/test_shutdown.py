"""Closing an engine ends every request and frees the models."""

import gc
import threading
import weakref

import pytest

from bark_onnx.graphs.contract import STAGES, Stage
from bark_onnx.graphs.errors import ClosedError
from tests.runtime.engine.conftest import Open
from tests.support.engine import PATIENCE, Gate, outcome, submit, submit_group
from tests.support.messages import assert_one_line
from tests.support.scripted import Utterance


@pytest.mark.parametrize("low_memory", [False, True])
@pytest.mark.parametrize("stage", STAGES)
def test_closing_under_load_ends_every_request(open_engine: Open, stage: Stage, low_memory: bool):
    engine, models = open_engine(2, low_memory=low_memory)
    with Gate(models, stage) as gate:
        futures = submit(engine, *(Utterance(name) for name in range(5)))
        futures += submit_group(engine, *(Utterance(name) for name in range(5, 9)))
        gate.wait()
        engine.stop()
        with pytest.raises(ClosedError):
            submit(engine, Utterance(9))
    engine.close()
    engine.close()
    assert all(future.done() for future in futures)
    for future in futures:
        found = outcome(future)
        if isinstance(found, Exception):
            assert isinstance(found, ClosedError)
            assert_one_line(found, "closed", "load the bundle again")
    assert isinstance(outcome(futures[-1]), ClosedError)
    assert models.closed
    status = engine.status()
    assert (status.waiting, status.running) == (0, 0)
    with pytest.raises(ClosedError):
        submit(engine, Utterance(9))


def test_an_unused_engine_can_be_closed(open_engine: Open):
    engine, models = open_engine()
    engine.close()
    assert models.closed
    with pytest.raises(ClosedError):
        submit(engine, Utterance(0))


def test_a_callback_may_close_the_engine(open_engine: Open):
    engine, models = open_engine()
    # In one call, for the first may be quicker than a second call.
    group = [Utterance(0, on_run=lambda stage: engine.close()), Utterance(1)]
    futures = submit_group(engine, *group)
    assert [type(outcome(future)) for future in futures] == [ClosedError] * 2
    engine.close()
    assert models.closed


class Owner:
    """An object that a request keeps alive."""


def test_a_kept_object_lives_until_the_last_request_is_done(open_engine: Open):
    engine, models = open_engine()
    owner = Owner()
    reference = weakref.ref(owner)
    gone = threading.Event()
    weakref.finalize(owner, gone.set)
    with Gate(models) as gate:
        (future,) = engine.submit([Utterance(0).generator()], keepalive=owner)
        gate.wait()
        del owner
        gc.collect()
        assert reference() is not None
    future.result(PATIENCE)
    assert gone.wait(PATIENCE)


def test_a_finished_future_does_not_keep_the_engine_alive(open_engine: Open):
    engine, _ = open_engine()
    (future,) = submit(engine, Utterance(0))
    future.result(PATIENCE)
    engine.close()
    assert not any(value is engine for value in vars(future).values())
