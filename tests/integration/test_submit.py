"""`Bark.submit`: results under load, errors, progress, interrupts, and the end of a `Bark`."""

import gc
import signal
import subprocess
import sys
import threading
import weakref
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bark_onnx.graphs.contract import STAGES
from bark_onnx.graphs.errors import ClosedError, EngineError, QueueFullError
from bark_onnx.runtime import Bark, GenerationOptions, OptionsError, TextError, VoiceError
from bark_onnx.runtime.inference.fine import FineModel
from tests.support.load import PATIENCE, REQUESTS, assert_same, under_load
from tests.support.messages import assert_one_line

SAMPLED = GenerationOptions(semantic_max_new_tokens=30)


@pytest.mark.parametrize(
    ("attention", "max_batch_size", "low_memory"),
    [("fused", 3, False), ("fused", 8, False), ("fused", 3, True), ("standard", 3, False)],
)
def test_speech_under_load_equals_single_runs(
    ending_bundle: Callable[[str], Path], attention: str, max_batch_size: int, low_memory: bool
):
    bundle = ending_bundle(attention)
    with Bark.load(bundle, max_batch_size=1, threads=1) as single:
        alone = [single.speak(**request) for request in REQUESTS]
    with Bark.load(bundle, max_batch_size=max_batch_size, low_memory=low_memory, threads=1) as bark:
        for speech, expected in zip(under_load(bark, max_batch_size), alone, strict=True):
            assert_same(speech, expected)
        status = bark.engine_status()
    assert (status.waiting, status.running) == (0, 0)
    assert status.stages["coarse"].sequences > status.stages["coarse"].steps  # steps were shared


# Refused requests


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"text": ""}, TextError, ["empty"]),
        ({"text": 1}, TextError, ["text is 1", "expected a string"]),
        ({"text": "a", "voice": "nobody"}, VoiceError, ["nobody"]),
        ({"text": "a", "seed": -1}, OptionsError, ["seed is -1"]),
        ({"text": "a", "colour": 1}, OptionsError, ["'colour'"]),
    ],
)
def test_submit_refuses_invalid_requests_at_once(random_bark: Bark, arguments, error, words):
    before = random_bark.engine_status()
    with pytest.raises(error) as caught:
        random_bark.submit(**arguments)
    assert_one_line(caught.value, *words)
    assert random_bark.engine_status() == before


@pytest.mark.parametrize("max_queue", [-1, True, 1.5, "2"])
def test_an_invalid_max_queue_is_refused(random_bundle: Path, max_queue: Any):
    with pytest.raises(OptionsError) as caught:
        Bark.load(random_bundle, max_queue=max_queue)
    assert_one_line(caught.value, f"max_queue is {max_queue!r}", "integer from 0")


def test_a_full_queue_refuses_further_requests(random_bundle: Path):
    with Bark.load(random_bundle, max_batch_size=1, max_queue=1, threads=1) as bark:
        futures = [bark.submit("Hello", semantic_max_new_tokens=90) for _ in range(2)]
        with pytest.raises(QueueFullError) as caught:
            bark.speak("Hello")
        assert_one_line(caught.value, "2 requests", "at most 2", "try again later")
        for future in futures:
            future.result(PATIENCE)
        assert bark.speak("Hello", semantic_max_new_tokens=5).seconds > 0


# Progress


def test_progress_is_summed_over_the_texts_of_a_call(ending: Bark):
    seen = defaultdict(list)
    speeches = ending.speak_batch(
        ["Hello, my dog is cute", "x", "b c d"],
        seed=3,
        options=SAMPLED,
        on_progress=lambda stage, done, total: seen[stage].append((done, total)),
    )
    frames = sum(speech.fine_tokens.shape[1] for speech in speeches)
    assert {total for _, total in seen["semantic"]} == {3 * 30}
    assert {total for _, total in seen["coarse"]} == {2 * frames}
    assert {total for _, total in seen["fine"]} == {3 * 6}
    assert {total for _, total in seen["codec"]} == {frames}
    for stage in STAGES:
        done = [count for count, _ in seen[stage]]
        assert done == sorted(done)
        assert len(done) == len(set(done))
    for stage in STAGES[1:]:
        assert seen[stage][-1][0] == seen[stage][-1][1]


def test_each_submitted_request_reports_its_own_progress(random_bark: Bark):
    seen: list[list[tuple[str, int, int]]] = [[], []]
    futures = [
        random_bark.submit(
            "b c d",
            seed=index,
            semantic_max_new_tokens=10,
            on_progress=lambda *event, mine=mine: mine.append(event),
        )
        for index, mine in enumerate(seen)
    ]
    for future, mine in zip(futures, seen, strict=True):
        future.result(PATIENCE)
        assert [*dict.fromkeys(stage for stage, _, _ in mine)] == [*STAGES]
        assert [done for stage, done, _ in mine if stage == "fine"] == [1, 2, 3, 4, 5, 6]


def test_an_error_of_a_progress_callback_is_raised_by_its_own_call(random_bark: Bark):
    def fail(stage: str, done: int, total: int) -> None:
        if (stage, done) == ("fine", 2):
            raise LookupError("enough")

    other = random_bark.submit("x", seed=1, semantic_max_new_tokens=20)
    with pytest.raises(LookupError, match="enough"):
        random_bark.speak("b c d", semantic_max_new_tokens=10, on_progress=fail)
    assert_same(other.result(PATIENCE), random_bark.speak("x", seed=1, semantic_max_new_tokens=20))


# Failures and interrupts


class Failing:
    """A session whose run of a given number fails."""

    def __init__(self, session: Any, run: int) -> None:
        self._session = session
        self._left = run

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, *arguments: Any) -> Any:
        self._count()
        return self._session.run(*arguments)

    def run_with_iobinding(self, binding: Any) -> None:
        self._count()
        self._session.run_with_iobinding(binding)

    def _count(self) -> None:
        self._left -= 1
        if not self._left:
            raise RuntimeError("[ONNXRuntimeError] : 1 : FAIL : out of memory\nin a kernel")


@pytest.mark.parametrize(
    ("attention", "stage"),
    [*(("fused", stage) for stage in STAGES), ("standard", "semantic")],
)
def test_a_session_that_fails_once_fails_the_requests_that_shared_the_run(
    ending_bundle: Callable[[str], Path], attention: str, stage: str
):
    requests = [{**request, "options": SAMPLED} for request in REQUESTS[:4]]
    with Bark.load(ending_bundle(attention), max_batch_size=3, threads=1) as bark:
        expected = [bark.speak(**request) for request in requests]
        loading = bark._models._loading
        if stage in ("semantic", "coarse"):
            decoder = loading[stage].result()
            sessions = decoder._sessions
            failing = {"decode": Failing(sessions.decode, 7)}
            if attention == "standard":
                failing["prefill"] = Failing(sessions.prefill, 7)
            decoder._sessions = replace(sessions, **failing)
        else:
            model, loading[stage] = loading[stage].result(), Future()
            failing = Failing(model.session if stage == "fine" else model, 1)
            loading[stage].set_result(FineModel(failing) if stage == "fine" else failing)
        futures = [bark.submit(**request) for request in requests]
        failed = 0
        for future, speech in zip(futures, expected, strict=True):
            try:
                assert_same(future.result(PATIENCE), speech)
            except EngineError as error:
                failed += 1
                assert_one_line(error, stage, "out of memory", "free some memory")
        assert 1 <= failed <= 3
        assert_same(bark.speak(**requests[0]), expected[0])


@pytest.mark.parametrize("several", [False, True])
def test_an_interrupt_while_waiting_cancels_the_requests(random_bundle: Path, several: bool):
    caught = threading.Event()

    def interrupt(stage: str, done: int, total: int) -> None:
        if (stage, done) == ("coarse", 3):
            signal.raise_signal(signal.SIGINT)
            assert caught.wait(PATIENCE)

    with Bark.load(random_bundle, threads=1) as bark:
        options: dict[str, Any] = {"semantic_max_new_tokens": 10, "on_progress": interrupt}
        texts = ["b c d", "x"] if several else ["b c d"]
        with pytest.raises(KeyboardInterrupt):
            bark.speak_batch(texts, **options)
        assert bark.engine_status().running == len(texts)
        caught.set()
        assert bark.speak("x", semantic_max_new_tokens=5).seconds > 0
        assert bark.engine_status().running == bark.engine_status().waiting == 0
        assert bark.engine_status().stages["fine"].steps == 6  # of the last one alone


# The end of a Bark


def test_a_bark_is_closed_at_the_end_of_its_with_block(random_bundle: Path):
    with Bark.load(random_bundle) as bark:
        future = bark.submit("Hello", semantic_max_new_tokens=200)
    assert isinstance(future.exception(), ClosedError)
    bark.close()
    for method in (bark.speak, bark.submit):
        with pytest.raises(ClosedError) as caught:
            method("Hello")
        assert_one_line(caught.value, "closed", "load the bundle again")
    assert bark.describe().max_batch_size == 8


def _engines() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "bark-onnx engine"}


def test_an_unreferenced_bark_finishes_its_requests_and_ends_its_thread(random_bundle: Path):
    before = _engines()
    bark = Bark.load(random_bundle, threads=1)
    reference = weakref.ref(bark)
    future = bark.submit("b c d", semantic_max_new_tokens=20)
    (thread,) = _engines() - before
    del bark
    gc.collect()
    assert future.result(PATIENCE).seconds > 0
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert reference() is None


def test_an_unused_bark_frees_its_models_when_it_is_unreferenced(random_bundle: Path):
    bark = Bark.load(random_bundle)
    sessions = [weakref.ref(bark._models._loading[stage]) for stage in ("fine", "codec")]
    gc.disable()
    try:
        del bark
        assert [session() for session in sessions] == [None, None]
    finally:
        gc.enable()


@pytest.mark.parametrize("how", ["idle", "busy", "unreferenced", "interrupted"])
def test_the_interpreter_exits_in_every_state_of_the_engine(random_bundle: Path, how: str):
    program = """
import sys, threading
from bark_onnx.runtime import Bark

bundle, how = sys.argv[1:]
bark = Bark.load(bundle, threads=1)
bark.speak("x", semantic_max_new_tokens=3)
begun = threading.Event()
if how != "idle":
    future = bark.submit(
        "Hello", semantic_max_new_tokens=250, on_progress=lambda *event: begun.set()
    )
    begun.wait()
if how == "unreferenced":
    del bark, future
if how == "interrupted":
    raise KeyboardInterrupt
"""
    done = subprocess.run(
        [sys.executable, "-c", program, random_bundle, how],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == (-signal.SIGINT if how == "interrupted" else 0), done.stderr
    assert done.stderr.count("\n") == 0 or how == "interrupted", done.stderr
