"""A Bark that says what a test lets it say: no models, no waiting."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bark_onnx.graphs.errors import BarkError, QueueFullError
from bark_onnx.runtime import GenerationOptions, Speech, Voice
from bark_onnx.runtime.engine.status import EngineStatus, StageStatus

RATE_HZ = 24_000
SECONDS = 0.2  # of every piece
VOICES = ["v2/en_speaker_0", "v2/en_speaker_6"]


def speech(text: str, seed: int, seconds: float = SECONDS) -> Speech:
    """A tone whose height tells texts apart."""
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    samples = 0.5 * np.sin(2 * np.pi * (300 + 20 * (len(text) % 20)) * times)
    tokens = np.arange(round(seconds * 50))
    codes = np.zeros((8, round(seconds * 75)), np.int64)
    return Speech(samples.astype(np.float32), RATE_HZ, tokens, codes[:2], codes, text, "", seed)


@dataclass(eq=False)
class ScriptedJob:
    """Ends when it is told to."""

    text: str
    voice: Any
    seed: int
    options: GenerationOptions
    outcome: Speech | BaseException | None = None
    was_cancelled: bool = False
    callbacks: list[Callable[[Any], None]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def end(self, outcome: Speech | BaseException | None = None) -> None:
        self.outcome = outcome or speech(self.text, self.seed)
        self.ended.set()
        for callback in self.callbacks:
            callback(self)

    def result(self, timeout: float | None = None) -> Speech:
        assert self.ended.is_set()
        if isinstance(self.outcome, Speech):
            return self.outcome
        assert self.outcome is not None
        raise self.outcome

    def cancel(self) -> None:
        if not self.ended.is_set():
            self.was_cancelled = True
            self.ended.set()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self.callbacks.append(callback)
        if self.ended.is_set():
            callback(self)


class ScriptedBark:
    """Stands for `Bark`.

    Attributes:
        answers: ends every job at once.
        room: jobs that are not done at most.
        seconds: of every piece that is answered at once.
        failure: what a submit raises, or a job ends with where it is not of the library.
    """

    sample_rate_hz = RATE_HZ
    voices = VOICES

    def __init__(self) -> None:
        self.jobs: list[ScriptedJob] = []
        self.spoken: list[str] = []
        self.reset()
        self.observers: list[Any] = []
        self.came = threading.Condition()

    def reset(self) -> None:
        self.answers = True
        self.room = 100
        self.seconds = SECONDS
        self.failure: BaseException | None = None
        self.is_closed = False
        self.jobs.clear()
        self.spoken.clear()

    def submit(
        self, text: str, *, voice: Any, seed: int, options: GenerationOptions
    ) -> ScriptedJob:
        if isinstance(self.failure, BarkError):
            raise self.failure
        if len(self.open_jobs) >= self.room:
            raise QueueFullError("There are too many")
        job = ScriptedJob(text, voice, seed, options)
        with self.came:
            self.jobs.append(job)
            self.came.notify_all()
        if self.failure is not None:
            job.end(self.failure)  # type: ignore[arg-type]
        elif self.answers:
            for observer in self.observers:
                observer.on_step("semantic", 2, 0.01)
            job.end(speech(text, seed, self.seconds))
        return job

    @property
    def open_jobs(self) -> list[ScriptedJob]:
        return [job for job in self.jobs if not job.ended.is_set()]

    def wait_for_jobs(self, count: int) -> list[ScriptedJob]:
        with self.came:
            assert self.came.wait_for(lambda: len(self.jobs) >= count, 10)
        return self.jobs

    def speak(self, text: str, *, options: GenerationOptions) -> Speech:
        self.spoken.append(text)
        return speech(text, 0)

    def voice(self, voice: Any) -> Voice | None:
        known = voice is None or isinstance(voice, Voice)
        return voice if known else speech("", 0).to_voice(voice)

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def describe(self) -> dict[str, Any]:
        return {"source": "scripted"}

    def engine_status(self) -> EngineStatus:
        stages = {"semantic": StageStatus(slots=8, slots_in_use=3, steps=5, rows=9)}
        return EngineStatus(stages=stages, waiting=len(self.open_jobs), running=0)

    def add_observer(self, observer: Any) -> None:
        self.observers.append(observer)

    def close(self) -> None:
        self.is_closed = True
