"""Segments are said again by other replicas, by rules that need no cluster."""

import asyncio
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ray", reason="the extra [ray] is missing: make test-ray has it")

from ray.exceptions import ActorDiedError, ObjectLostError, RayTaskError
from ray.serve.exceptions import BackPressureError

from bark_onnx.graphs.errors import ClosedError, EngineError, TextError
from bark_onnx.runtime import GenerationOptions, Speech
from bark_onnx.runtime.cluster import speakers as module
from bark_onnx.runtime.cluster.speakers import Speakers
from bark_onnx.runtime.engine.clients import PROGRAM
from bark_onnx.runtime.inference.pipeline import Request
from bark_onnx.runtime.provenance.provenance import Provenance

TOKENS = np.zeros((8, 8), np.int64)
SPEECH = Speech(np.zeros(9, np.float32), 24_000, TOKENS[0], TOKENS[:2], TOKENS, "Hello", "", 1)


def request(provenance: Any = None) -> Request:
    options: Any = GenerationOptions()
    return Request("Hello", TOKENS[0], None, 1, options, provenance)


class FakeResponse:
    """A call of a replica."""

    def __init__(self, outcome: Speech | BaseException | None) -> None:
        self.was_cancelled = False
        self._outcome = outcome

    def __await__(self) -> Any:
        if self._outcome is None:
            yield from asyncio.sleep(60).__await__()
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome

    def cancel(self) -> None:
        self.was_cancelled = True


class FakeHandle:
    """A deployment whose replicas answer in a given order; None: never."""

    def __init__(self, *outcomes: Speech | BaseException | None) -> None:
        self.responses: list[FakeResponse] = []
        self.requests: list[Request] = []
        self.say = self
        self._outcomes = [*outcomes]

    def remote(self, sent: Request, client: Any) -> FakeResponse:
        self.requests.append(sent)
        self.responses.append(FakeResponse(self._outcomes.pop(0)))
        return self.responses[-1]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(module, "_FULL_SECONDS", 0.0)


def say(handle: FakeHandle, sent: Request | None = None) -> Speech:
    return asyncio.run(Speakers(handle).say(sent or request(), PROGRAM))


@pytest.mark.parametrize(
    "lost", [ActorDiedError(), ObjectLostError("", None, ""), ClosedError("ended")]
)
def test_segment_goes_to_other_replicas_when_three_die(lost: BaseException) -> None:
    handle = FakeHandle(lost, lost, lost, SPEECH)
    assert say(handle).samples is SPEECH.samples
    assert len(handle.requests) == 4


def test_segment_fails_when_the_fourth_replica_dies() -> None:
    handle = FakeHandle(*[ActorDiedError()] * 5)
    with pytest.raises(EngineError, match="4 speaker replicas died"):
        say(handle)
    assert len(handle.requests) == 4


def test_error_of_the_segment_is_not_repeated_and_keeps_its_message() -> None:
    cause = TextError("the text is empty")
    handle = FakeHandle(RayTaskError("say", "a traceback", cause))
    with pytest.raises(TextError, match=r"^the text is empty$"):
        say(handle)
    assert len(handle.requests) == 1


def test_closed_engine_of_a_replica_is_a_lost_replica() -> None:
    closed = RayTaskError("say", "a traceback", ClosedError("the engine has ended"))
    assert say(FakeHandle(closed, SPEECH)).samples is SPEECH.samples


def test_full_queue_of_ray_is_waited_for() -> None:
    full = BackPressureError(num_queued_requests=1, max_queued_requests=1)
    handle = FakeHandle(*[full] * 9, SPEECH)
    assert say(handle).samples is SPEECH.samples


def test_cancelled_segment_is_cancelled_in_its_replica() -> None:
    handle = FakeHandle(None)

    async def leave() -> None:
        task = asyncio.create_task(Speakers(handle).say(request(), PROGRAM))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave())
    assert [each.was_cancelled for each in handle.responses] == [True]


def test_provenance_stays_here() -> None:
    provenance: Any = object.__new__(Provenance)
    handle = FakeHandle(SPEECH)
    assert say(handle, request(provenance)).provenance is provenance
    assert handle.requests[0].provenance is None
