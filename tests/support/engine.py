"""Requests for an engine on scripted models, and a gate that stops its thread."""

import threading
from concurrent.futures import CancelledError
from typing import Any

from bark_onnx.graphs.contract import Stage
from bark_onnx.runtime.engine.engine import Engine
from bark_onnx.runtime.engine.future import SpeechFuture
from tests.support.scripted import ScriptedModels, Utterance

PATIENCE = 30.0  # seconds until a test that hangs fails


def submit(engine: Engine, *utterances: Utterance) -> list[SpeechFuture]:
    """Submit each utterance as a call of its own."""
    return [submit_group(engine, each)[0] for each in utterances]


def submit_group(engine: Engine, *utterances: Utterance) -> list[SpeechFuture]:
    """Submit all utterances as one call."""
    return engine.submit([each.generator() for each in utterances], keepalive=None)


def outcome(future: SpeechFuture) -> Any:
    """Wait for a future: its result, or its error."""
    try:
        return future.result(PATIENCE)
    except (Exception, CancelledError) as error:
        return error


class Gate:
    """Stops the engine's thread at one run of a stage until the block ends."""

    def __init__(self, models: ScriptedModels, stage: Stage = "semantic", run: int = 1) -> None:
        self._reached, self._opened = threading.Event(), threading.Event()
        self._where = (stage, run)
        models.before = self._hold

    def __enter__(self) -> "Gate":
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.set()

    def wait(self) -> None:
        """Wait until the thread has reached the run."""
        assert self._reached.wait(PATIENCE)

    def _hold(self, stage: Stage, run: int) -> None:
        if (stage, run) == self._where:
            self._reached.set()
            assert self._opened.wait(PATIENCE)
