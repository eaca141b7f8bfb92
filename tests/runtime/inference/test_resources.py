"""A system without memory or threads: one line that says what helps, never "export again"."""

import threading
from pathlib import Path
from typing import Any

import pytest

from bark_onnx.graphs.errors import EngineError
from bark_onnx.runtime import Bark
from bark_onnx.runtime.inference import models
from bark_onnx.runtime.inference.resources import is_memory_error, start_thread
from tests.support.messages import assert_one_line


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)


@pytest.mark.usefixtures("no_threads")
@pytest.mark.parametrize("low_memory", [False, True])
def test_a_thread_that_cannot_be_started_is_one_line(random_bundle: Path, low_memory: bool) -> None:
    with pytest.raises(EngineError) as caught:
        Bark.load(random_bundle, low_memory=low_memory).speak("Hello")
    assert_one_line(caught.value, "can't start new thread", "free some memory", "ulimit -u")


def test_a_thread_is_a_daemon_with_a_name() -> None:
    ran = threading.Event()
    thread = start_thread(ran.set, "bark-onnx test")
    thread.join()
    assert ran.is_set()
    assert (thread.daemon, thread.name) == (True, "bark-onnx test")


def test_too_many_slots_are_one_line(random_bundle: Path) -> None:
    with pytest.raises(EngineError) as caught:
        Bark.load(random_bundle, max_batch_size=10**9)
    assert_one_line(caught.value, "cannot be opened", "TiB", "max_batch_size (1000000000)")


def test_memory_that_onnx_runtime_lacks_is_one_line(
    random_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("Exception during initialization: std::bad_alloc")

    monkeypatch.setattr("onnxruntime.InferenceSession", fail)
    with pytest.raises(EngineError) as caught:
        Bark.load(random_bundle)
    assert_one_line(caught.value, "std::bad_alloc", "free some memory")
    assert "export" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (RuntimeError("Failed to allocate memory for requested buffer"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("Gather: index out of bounds"), False),
    ],
)
def test_errors_of_memory_are_recognized(error: Exception, is_memory: bool) -> None:
    assert is_memory_error(error) == is_memory


def test_other_errors_of_opening_pass(random_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(models, "open_session", fail)
    with pytest.raises(ZeroDivisionError):
        Bark.load(random_bundle)
