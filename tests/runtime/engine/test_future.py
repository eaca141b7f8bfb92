"""SpeechFuture as a standard future: waiting, callbacks, concurrent.futures and asyncio."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, as_completed, wait

import pytest

from bark_onnx.graphs.contract import Stage
from bark_onnx.graphs.errors import EngineError
from bark_onnx.runtime.engine.future import SpeechFuture, wait_all, wait_any
from tests.runtime.engine.conftest import Open
from tests.support.engine import PATIENCE, Gate, outcome, submit
from tests.support.messages import assert_one_line
from tests.support.scripted import Utterance


def fail(stage: Stage) -> None:
    raise ZeroDivisionError


def test_the_state_and_the_repr_follow_the_request(open_engine: Open):
    engine, models = open_engine(1)
    with Gate(models) as gate:
        first, second = submit(engine, Utterance(0), Utterance(1))
        gate.wait()
        assert (first.running(), second.running()) == (True, False)
        assert repr(first) == "SpeechFuture(running)"
        assert repr(second) == "SpeechFuture(waiting)"
    first.result(PATIENCE)
    assert (first.running(), first.done(), first.exception()) == (False, True, None)
    assert repr(first) == "SpeechFuture(done)"


def test_result_and_exception_without_a_timeout_wait_for_the_end(open_engine: Open):
    engine, _ = open_engine()
    good, bad = submit(engine, Utterance(0), Utterance(1, on_run=fail))
    assert good.result() == Utterance(0).alone()
    assert isinstance(bad.exception(), ZeroDivisionError)


# Callbacks


def test_callbacks_run_in_the_thread_of_the_engine_at_every_end(open_engine: Open):
    engine, models = open_engine(1)
    seen: list[tuple[SpeechFuture, str]] = []
    complete = threading.Event()

    def record(future: SpeechFuture) -> None:
        seen.append((future, threading.current_thread().name))
        if len(seen) == 4:
            complete.set()

    with Gate(models) as gate:
        utterances = [Utterance(0), Utterance(1, on_run=fail), Utterance(2), Utterance(3)]
        futures = submit(engine, *utterances)
        gate.wait()
        for future in futures:
            future.add_done_callback(record)
        futures[2].cancel()
    assert complete.wait(PATIENCE)
    assert {future for future, _ in seen} == set(futures)
    assert {name for _, name in seen} == {"bark-onnx engine"}
    late: list[Future] = []
    futures[0].add_done_callback(late.append)
    assert late == [futures[0]]


@pytest.mark.parametrize("error", [ValueError, SystemExit])
@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_callback_that_raises_is_logged_and_disturbs_no_request(
    open_engine: Open,
    caplog: pytest.LogCaptureFixture,
    error: type[BaseException],
    is_cancelled: bool,
):
    engine, models = open_engine()

    def raise_error(future: SpeechFuture) -> None:
        raise error("in a callback")

    with Gate(models) as gate:
        futures = submit(engine, Utterance(0), Utterance(1))
        gate.wait()
        futures[0].add_done_callback(raise_error)
        if is_cancelled:
            futures[0].cancel()
    assert not wait(futures, PATIENCE).not_done
    assert futures[0].cancelled() == is_cancelled
    assert [outcome(future) for future in futures[is_cancelled:]] == [
        Utterance(name).alone() for name in range(is_cancelled, 2)
    ]
    assert "in a callback" in caplog.text


def test_a_callback_may_read_the_result_of_its_cancelled_future(open_engine: Open):
    engine, models = open_engine(1)
    seen: list[object] = []

    def read(future: SpeechFuture) -> None:
        for function in (future.result, lambda: wait_all([future])):
            with pytest.raises(CancelledError):
                function()
        seen.append(wait_any([future]))

    with Gate(models) as gate:
        _, future = submit(engine, Utterance(0), Utterance(1))
        gate.wait()
        future.add_done_callback(read)
        future.cancel()
    outcome(future)
    engine.close()
    assert seen == [{future}]


def test_waiting_in_the_thread_of_the_engine_is_refused(open_engine: Open):
    engine, _ = open_engine()
    caught: list[BaseException] = []
    submitted: list[SpeechFuture] = []

    def wait_here(stage: Stage) -> None:
        if not submitted:
            submitted.extend(submit(engine, Utterance(1)))
            attempts: list[Callable[[], object]] = [
                submitted[0].result,
                submitted[0].exception,
                lambda: wait_any(submitted),
                lambda: wait_all(submitted),
            ]
            for attempt in attempts:
                with pytest.raises(EngineError) as error:
                    attempt()
                caught.append(error.value)

    (future,) = submit(engine, Utterance(0, on_run=wait_here))
    assert future.result(PATIENCE) == Utterance(0).alone()
    assert len(caught) == 4
    for error in caught:
        assert_one_line(error, "engine callback", "deadlock", "use submit()")
    assert isinstance(outcome(submitted[0]), CancelledError)  # by wait_all


# concurrent.futures


def test_wait_any_returns_every_future_that_is_done(open_engine: Open):
    engine, models = open_engine(2)
    assert wait_any([]) == set()
    with Gate(models, "codec", run=2) as gate:
        futures = submit(engine, Utterance(0, fine=0), Utterance(1, fine=9), Utterance(2))
        first = wait_any(futures)
        gate.wait()
        assert first == wait_any(futures) == {future for future in futures if future.done()}
        assert len(first) == 1
    wait_all(futures)
    assert wait_any(futures) == set(futures)


def test_wait_and_as_completed_of_concurrent_futures_accept_it(open_engine: Open):
    engine, models = open_engine(1)
    with Gate(models) as gate:
        futures = submit(engine, Utterance(0), Utterance(1, on_run=fail), Utterance(2))
        gate.wait()
        assert not wait(futures, 0).done
        futures[2].cancel()
    assert wait(futures, PATIENCE, return_when=FIRST_COMPLETED).done
    assert set(as_completed(futures, PATIENCE)) == set(futures)
    assert [type(outcome(future)) for future in futures] == [
        list,
        ZeroDivisionError,
        CancelledError,
    ]


# asyncio


def test_asyncio_awaits_results_and_errors(open_engine: Open):
    engine, _ = open_engine()

    async def main() -> list[object]:
        futures = submit(engine, Utterance(0), Utterance(1, on_run=fail))
        wrapped = [asyncio.wrap_future(future) for future in futures]
        return await asyncio.wait_for(asyncio.gather(*wrapped, return_exceptions=True), PATIENCE)

    result, error = asyncio.run(main())
    assert result == Utterance(0).alone()
    assert isinstance(error, ZeroDivisionError)


@pytest.mark.parametrize("how", ["cancel", "timeout"])
def test_cancelling_in_asyncio_cancels_a_running_request(open_engine: Open, how: str):
    engine, models = open_engine(1)
    runs: list[Stage] = []
    gate = Gate(models, run=3)  # in its second decode step

    async def main() -> SpeechFuture:
        future, other = submit(engine, Utterance(0, on_run=runs.append), Utterance(1))
        await asyncio.to_thread(gate.wait)
        assert future.running()
        wrapped = asyncio.wrap_future(future)
        if how == "cancel":
            wrapped.cancel()
            await asyncio.sleep(0)  # asyncio passes the cancellation on in its next iteration
            with pytest.raises(asyncio.CancelledError):
                await wrapped
        else:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wrapped, 0.01)
        with gate:
            pass
        assert await asyncio.wait_for(asyncio.wrap_future(other), PATIENCE) == Utterance(1).alone()
        return future

    future = asyncio.run(main())
    assert isinstance(outcome(future), CancelledError)
    assert future.cancelled()
    assert runs == ["semantic"] * 3  # the step that ran, and none after it
    assert engine.status().running == 0
