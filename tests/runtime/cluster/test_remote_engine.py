"""The connection of an ingress to its speakers: futures, limits, cancellation, end."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

import pytest

pytest.importorskip("ray", reason="the extra [ray] is missing: make test-ray has it")

from bark_onnx.graphs.errors import ClosedError, QueueFullError, TextError
from bark_onnx.runtime.cluster.remote_engine import RemoteEngine
from bark_onnx.runtime.engine.clients import PROGRAM, Client
from tests.runtime.cluster.test_speakers import SPEECH, request

SECONDS = 10.0


class FakeSpeakers:
    """Speakers that answer when a test lets them."""

    handle = None

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.said = threading.Semaphore(0)
        self.cancelled = threading.Event()
        self._may_answer = threading.Event()

    def answer(self) -> None:
        self._may_answer.set()

    async def say(self, sent: Any, client: Any) -> Any:
        self.said.release()
        try:
            while not self._may_answer.is_set():
                await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if self.error is not None:
            raise self.error
        return SPEECH

    async def count(self) -> int:
        return 2


@pytest.fixture
def speakers() -> FakeSpeakers:
    return FakeSpeakers()


@pytest.fixture
def engine(speakers: Any) -> Iterator[RemoteEngine]:
    found = RemoteEngine(speakers, places=2)
    yield found
    found.close()


def test_future_has_the_speech(engine: RemoteEngine, speakers: FakeSpeakers) -> None:
    speakers.answer()
    (future,) = engine.submit([request()], PROGRAM)
    assert future.result(SECONDS) is SPEECH
    assert future.timings.finished is not None
    assert engine.unfinished == 0


def test_future_has_the_error(engine: RemoteEngine, speakers: FakeSpeakers) -> None:
    speakers.error = TextError("empty")
    speakers.answer()
    (future,) = engine.submit([request()], PROGRAM)
    with pytest.raises(TextError, match="empty"):
        future.result(SECONDS)


def test_full_engine_refuses_until_a_segment_is_said(
    engine: RemoteEngine, speakers: FakeSpeakers
) -> None:
    futures = engine.submit([request(), request()], PROGRAM)
    with pytest.raises(QueueFullError, match="max_queue"):
        engine.submit([request()], PROGRAM)
    speakers.answer()
    for future in futures:
        future.result(SECONDS)
    (further,) = engine.submit([request()], PROGRAM)
    assert further.result(SECONDS) is SPEECH


def test_client_may_not_hold_every_place(engine: RemoteEngine) -> None:
    greedy = Client("greedy", 0.5)
    engine.submit([request()], greedy)
    with pytest.raises(QueueFullError, match="of this client"):
        engine.submit([request()], greedy)
    engine.submit([request()], Client("other", 0.5))


def test_cancelled_future_frees_its_place_and_its_replica(
    engine: RemoteEngine, speakers: FakeSpeakers
) -> None:
    (future,) = engine.submit([request()], PROGRAM)
    assert speakers.said.acquire(timeout=SECONDS)
    assert future.cancel()
    with pytest.raises(CancelledError):
        future.result(SECONDS)
    assert speakers.cancelled.is_set()
    assert engine.unfinished == 0


def test_future_that_is_cancelled_at_once_ends(engine: RemoteEngine) -> None:
    (future,) = engine.submit([request()], PROGRAM)
    future.cancel()
    with pytest.raises(CancelledError):
        future.result(SECONDS)
    assert engine.unfinished == 0


def test_close_fails_what_is_unfinished_and_refuses_more(
    engine: RemoteEngine, speakers: FakeSpeakers
) -> None:
    (future,) = engine.submit([request()], PROGRAM)
    engine.close()
    with pytest.raises(ClosedError):
        future.result(SECONDS)
    with pytest.raises(ClosedError):
        engine.submit([request()], PROGRAM)


def test_replicas_are_counted(engine: RemoteEngine) -> None:
    for _ in range(1000):
        if engine.replicas == 2:
            return
        threading.Event().wait(0.01)
    pytest.fail("the replicas were not counted")
