"""A `Bark` without models whose segments finish as a test scripts them."""

import threading
from collections.abc import Mapping
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import numpy as np

from bark_onnx.graphs.errors import BarkError, QueueFullError
from bark_onnx.runtime import GenerationOptions, Speech, StreamOptions, StreamPlan, Voice
from bark_onnx.runtime.engine.clients import Client
from bark_onnx.runtime.engine.status import BarkInfo, EngineStatus, StageStatus
from bark_onnx.runtime.longform.plan import DEFAULT_SPEAKER, plan_stream
from bark_onnx.runtime.longform.window import SegmentTask

RATE_HZ = 24_000
SECONDS = 0.2  # of every segment
VOICES = ["v2/en_speaker_0", "v2/en_speaker_6"]

_GENERATION = SimpleNamespace(
    semantic=SimpleNamespace(max_input_semantic_length=256, semantic_rate_hz=50.0),
    segment_seconds=13.0,
    text_tokens_per_second=3.6,
)


def tone(text: str, seed: int, seconds: float = SECONDS) -> Speech:
    """A tone whose pitch depends on the text's length."""
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    samples = 0.5 * np.sin(2 * np.pi * (300 + 20 * (len(text) % 20)) * times)
    kept = min(seconds, 15.0)  # of a longer tone, as a voice has at most so much
    tokens = np.arange(round(kept * 50))
    codes = np.zeros((8, round(kept * 75)), np.int64)
    return Speech(samples.astype(np.float32), RATE_HZ, tokens, codes[:2], codes, text, "", seed)


class ScriptedFuture(Future[Speech]):
    """A submitted segment, which a test finishes."""

    def __init__(self, task: SegmentTask) -> None:
        super().__init__()
        self.text = task.segment.text
        self.voice = task.voice
        self.seed = task.seed
        self.options = task.options

    def finish(self, outcome: Speech | BaseException | None = None) -> None:
        """End with speech (None: a tone) or with an error."""
        if isinstance(outcome, BaseException):
            self.set_exception(outcome)
        else:
            self.set_result(outcome or tone(self.text, self.seed))


class ScriptedBark:
    """Replacement of `Bark`, with the library's own planning and streaming.

    Attributes:
        completes: Whether futures finish immediately.
        max_queue: Maximum number of unfinished futures.
        seconds: Duration of the tones of futures that finish immediately.
        failure: Error of every segment: a BarkError is raised when it is submitted, others are
            set on its future.
        futures: All futures so far.
        clients: Clients of all futures so far.
        plans: All plans of requests so far, without that of the warm-up.
        warm_up_texts: Texts given to `speak`.
    """

    sample_rate_hz = RATE_HZ
    voices = VOICES

    def __init__(self) -> None:
        self.futures: list[ScriptedFuture] = []
        self.clients: list[Client] = []
        self.plans: list[StreamPlan] = []
        self.warm_up_texts: list[str] = []
        self.reset()
        self._observers: list[Any] = []
        self._changed = threading.Condition()

    def reset(self) -> None:
        self.completes = True
        self.max_queue = 100
        self.seconds = SECONDS
        self.failure: BaseException | None = None
        self.is_closed = False
        self.futures.clear()
        self.clients.clear()
        self.plans.clear()
        self.warm_up_texts.clear()

    def plan(
        self,
        text: str,
        *,
        voice: Any = None,
        speakers: Mapping[str, Any] | None = None,
        seed: int | None = None,
        options: GenerationOptions | None = None,
        stream: StreamOptions | None = None,
    ) -> StreamPlan:
        builder: Any = SimpleNamespace(
            tokenizer=SimpleNamespace(count=self.count_tokens),
            voices=SimpleNamespace(
                load=lambda voice: SimpleNamespace(voice=self.voice(voice), ref=None)
            ),
            resolve=lambda options: options,
            recorder=SimpleNamespace(record=lambda *_, **__: None),
            manifest=SimpleNamespace(generation=_GENERATION),
        )
        voices = {DEFAULT_SPEAKER: voice, **(speakers or {})}
        plan = plan_stream(
            builder,
            text,
            voices,
            seed=seed,
            options=options or GenerationOptions(),
            stream=stream or StreamOptions(),
        )
        if options is not None:
            self.plans.append(plan)
        return plan

    def submit_segment(
        self, task: SegmentTask, _: object = None, *, client: Client
    ) -> ScriptedFuture:
        self.clients.append(client)
        if isinstance(self.failure, BarkError):
            raise self.failure
        if self._unfinished() >= self.max_queue:
            raise QueueFullError("The queue is full")
        future = ScriptedFuture(task)
        with self._changed:
            self.futures.append(future)
            self._changed.notify_all()
        if self.failure is not None:
            future.finish(self.failure)
        elif self.completes:
            for observer in self._observers:
                observer.on_step("semantic", 2, 0.01)
            future.finish(tone(future.text, future.seed, self.seconds))
        return future

    def wait_for_futures(self, count: int) -> list[ScriptedFuture]:
        """Wait until so many segments were submitted."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.futures) >= count, 10)
        return self.futures

    def speak(self, text: str, *, options: GenerationOptions) -> Speech:
        self.warm_up_texts.append(text)
        if self.failure is not None:
            raise self.failure
        return tone(text, 0)

    def voice(self, voice: Any) -> Voice | None:
        known = voice is None or isinstance(voice, Voice)
        return voice if known else tone("", 0).to_voice(voice)

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def describe(self) -> BarkInfo:
        return BarkInfo(
            bundle="scripted",
            source="scripted",
            provider="cpu",
            precision="fp32",
            precisions=("fp32",),
            attention="fused",
            threads=None,
            low_memory=False,
            max_batch_size=8,
            sample_rate_hz=RATE_HZ,
            voices=len(VOICES),
        )

    def engine_status(self) -> EngineStatus:
        stages = {"semantic": StageStatus(slots=8, slots_in_use=3, steps=5, sequences=9)}
        return EngineStatus(stages=stages, waiting=self._unfinished(), running=0)

    def add_observer(self, observer: Any) -> None:
        self._observers.append(observer)

    def close(self) -> None:
        self.is_closed = True

    def _unfinished(self) -> int:
        return sum(not future.done() for future in self.futures)
