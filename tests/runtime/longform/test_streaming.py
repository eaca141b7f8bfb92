"""Drivers of the window: order, attempts, history, cancellation, progress; bounded memory."""

import tracemalloc
import weakref
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from bark_onnx.graphs.errors import QueueFullError
from bark_onnx.runtime import (
    GenerationOptions,
    Segment,
    Speech,
    StreamOptions,
    StreamPlan,
    TextError,
    segment_seed,
)
from bark_onnx.runtime.longform import streaming
from bark_onnx.runtime.longform.window import SegmentTask
from tests.support.fake_engine import RATE, EagerEngine, FakeEngine, FakeFuture
from tests.support.load import assert_same_speeches
from tests.support.messages import assert_one_line


def segments(count: int, speakers: Sequence[str] = ("",)) -> tuple[Segment, ...]:
    return tuple(
        Segment(f"segment {number}", 4, 3.6, speakers[number % len(speakers)])
        for number in range(count)
    )


def plan_of(parts: Sequence[Segment], *, seed: int = 7, **stream: Any) -> StreamPlan:
    return StreamPlan(
        segments=tuple(parts),
        seed=seed,
        options=GenerationOptions(semantic_max_new_tokens=768),
        stream=StreamOptions(**stream),
        voices={part.speaker: None for part in parts},
        semantic_rate_hz=50.0,
    )


def run(engine: FakeEngine, parts: Sequence[Segment], **stream: Any) -> list[Speech]:
    return list(streaming.stream(plan_of(parts, **stream), engine.submit))


def stream_of(engine: FakeEngine, count: int, concurrency: int, **stream: Any) -> Any:
    plan = plan_of(segments(count), seed=0, concurrency=concurrency, **stream)
    return streaming.stream(plan, engine.submit)


def test_every_attempt_at_every_segment_has_its_own_seed() -> None:
    seeds = {
        segment_seed(seed, index, attempt)
        for seed in range(5)
        for index in range(50)
        for attempt in range(4)
    }
    assert len(seeds) == 5 * 50 * 4
    assert max(seeds) < 2**53
    assert segment_seed(5, 0) == 5
    assert segment_seed(5, 0, bits=64) == 5
    assert segment_seed(7, 1, bits=64) >> 11 == segment_seed(7, 1)
    assert segment_seed(5, 3, 1) == segment_seed(5, 3, 1)
    assert segment_seed(2**40, 1) != segment_seed(2**40 + 1, 1)


def test_seeds_of_earlier_versions_can_be_repeated() -> None:
    engine = FakeEngine()
    speeches = [*stream_of(engine, 3, 1, seed_bits=64)]
    assert [speech.seed for speech in speeches] == [segment_seed(0, i, bits=64) for i in range(3)]
    assert max(speech.seed for speech in speeches) > 2**53


# History


def test_each_speaker_continues_their_own_last_segment() -> None:
    engine = FakeEngine()
    run(engine, segments(4, ["Anna", "Ben"]), history="previous")
    seeds = [task.seed for task in engine.tasks]
    voices = [task.voice for task in engine.tasks]
    assert voices[:2] == [None, None]
    assert [voice.semantic_prompt[0] for voice in voices[2:]] == [s % 1000 for s in seeds[:2]]


def test_the_first_segment_of_each_speaker_provides_the_voice() -> None:
    engine = FakeEngine()
    plan = plan_of(segments(6, ["Anna", "Ben"]), history="first", concurrency=6)
    speeches = streaming.stream(plan, engine.submit)
    first = next(speeches)
    assert engine.texts[:2] == ["segment 0", "segment 1"]
    rest = list(speeches)
    voices = [task.voice for task in engine.tasks]
    assert voices[:2] == [None, None]
    seeds = [first.seed, rest[0].seed]
    assert [voice.semantic_prompt[0] for voice in voices[2:]] == [
        seeds[number % 2] % 1000 for number in range(4)
    ]
    assert [speech.text for speech in (first, *rest)] == [f"segment {n}" for n in range(6)]


def test_only_one_segment_runs_until_it_provides_the_voice() -> None:
    engine = FakeEngine()
    speeches = streaming.stream(plan_of(segments(6), history="first", concurrency=4), engine.submit)
    assert engine.texts == []
    next(speeches)
    assert [task.voice is None for task in engine.tasks] == [True, False, False, False, False]


def test_a_silent_first_segment_leaves_the_voice_to_the_next() -> None:
    class Mute(FakeEngine):
        def submit(self, task: SegmentTask, on_progress: Any = None) -> FakeFuture:
            future = super().submit(task)
            if task.index == 0:
                codes = np.zeros((8, 0), np.int64)
                nothing = Speech(
                    np.zeros(0, np.float32), RATE, codes[0], codes[:2], codes, "", "", 0
                )
                future._generate = lambda: nothing
            return future

    engine = Mute()
    assert len(run(engine, segments(3), history="first", concurrency=3)) == 3
    assert [task.voice is None for task in engine.tasks] == [True, True, False]


# Attempts


def silent_until(good_attempt: int) -> FakeEngine:
    good = {segment_seed(7, number, good_attempt) for number in range(3)}

    def samples(_: str, seed: int) -> np.ndarray:
        return np.full(RATE, 0.5 if seed in good else 0.0, np.float32)

    return FakeEngine(samples)


def test_attempts_are_repeated_only_for_a_segment_that_failed() -> None:
    good = segment_seed(7, 1, 2)
    engine = FakeEngine(
        lambda text, seed: np.full(
            RATE, 0.5 if text != "segment 1" or seed == good else 0.0, np.float32
        )
    )
    speeches = run(engine, segments(3), attempts=5, concurrency=3)
    assert sorted(engine.texts) == [
        "segment 0",
        "segment 1",
        "segment 1",
        "segment 1",
        "segment 2",
    ]
    assert speeches[1].seed == good
    assert all(speech.samples.any() for speech in speeches)


def test_attempts_do_not_depend_on_the_concurrency() -> None:
    alone = run(silent_until(2), segments(3), attempts=3)
    assert_same_speeches(run(silent_until(2), segments(3), attempts=3, concurrency=3), alone)
    assert [speech.seed for speech in alone] == [segment_seed(7, number, 2) for number in range(3)]


def test_the_best_attempt_is_kept_with_a_warning_when_none_passes() -> None:
    def samples(_: str, seed: int) -> np.ndarray:
        return np.zeros(RATE * (2 if seed == segment_seed(7, 0, 1) else 20), np.float32)

    with pytest.warns(UserWarning, match="segment 1: none of 3 attempts passes") as caught:
        (speech,) = run(FakeEngine(samples), segments(1), attempts=3)
    assert_one_line(caught[0].message, "silent", "another seed")
    assert speech.seed == segment_seed(7, 0, 1)


def test_a_single_attempt_is_not_checked() -> None:
    engine = FakeEngine(lambda text, seed: np.zeros(RATE, np.float32))
    assert len(run(engine, segments(1))) == 1
    assert len(engine.tasks) == 1


def test_further_attempts_of_all_that_failed_run_together() -> None:
    engine = EagerEngine(lambda text, seed: np.zeros(RATE, np.float32))
    with pytest.warns(UserWarning, match="segment 1: none of 2 attempts"):
        next(stream_of(engine, 3, 3, attempts=2))
    assert engine.texts[:3] == engine.texts[3:] == ["segment 0", "segment 1", "segment 2"]


def test_duration_is_limited_only_on_request_and_per_segment() -> None:
    parts = [*segments(2), Segment("a long one", 46, 3.6)]
    for concurrency in (1, 3):
        engine = FakeEngine()
        run(engine, parts, limit_duration=True, concurrency=concurrency)
        limits = {task.segment.text: task.options.semantic_max_new_tokens for task in engine.tasks}
        assert limits == {"segment 0": 262, "segment 1": 262, "a long one": 768}
    engine = FakeEngine()
    run(engine, parts)
    assert {task.options for task in engine.tasks} == {
        GenerationOptions(semantic_max_new_tokens=768)
    }


# Places


def test_segments_overlap_by_the_crossfade() -> None:
    levels = {"segment 0": 0.2, "segment 1": 0.6, "segment 2": 0.4}
    engine = FakeEngine(lambda text, seed: np.full(RATE, levels[text], np.float32))
    speeches = run(engine, segments(3), crossfade_seconds=0.25)
    whole = np.concatenate([speech.samples for speech in speeches])
    assert len(whole) == 3 * RATE - 2 * RATE // 4
    for before, after in pairwise(speeches):
        assert after.start_seconds == before.end_seconds
    np.testing.assert_allclose(whole[: RATE * 3 // 4], 0.2, rtol=1e-6)
    overlap = whole[RATE * 3 // 4 : RATE]
    assert (np.diff(overlap) > 0).all()
    assert overlap[0] == pytest.approx(0.2, abs=1e-3)
    assert overlap[-1] == pytest.approx(0.6, abs=1e-3)
    np.testing.assert_allclose(whole[-RATE * 3 // 4 :], 0.4, rtol=1e-6)


@pytest.mark.parametrize("lengths", [(10, 3, 10), (3, 0, 5), (0, 0, 0), (1, 1, 1)])
def test_segments_shorter_than_the_crossfade_lose_nothing(lengths: tuple[int, ...]) -> None:
    engine = FakeEngine(lambda text, seed: np.full(lengths[int(text[-1])], 0.5, np.float32))
    speeches = run(engine, segments(3), crossfade_seconds=1.0)
    whole = np.concatenate([speech.samples for speech in speeches])
    np.testing.assert_allclose(whole, 0.5, rtol=1e-6)
    assert max(lengths) <= len(whole) <= sum(lengths)


# Order, failures, cancellation


def test_nothing_is_generated_before_the_first_request_nor_kept_after() -> None:
    engine = FakeEngine()
    speeches = stream_of(engine, 10, 2)
    assert engine.tasks == []
    first = weakref.ref(next(speeches))
    assert len(engine.tasks) == 3  # while the first is used, the next two are generated
    for _ in range(4):
        next(speeches)
    assert len(engine.tasks) == 7
    assert first() is None


@pytest.mark.parametrize("concurrency", [1, 3])
def test_the_concurrency_is_never_exceeded(concurrency: int) -> None:
    engine = FakeEngine()
    for _ in stream_of(engine, 7, concurrency):
        assert len(engine.in_flight) <= concurrency
    assert len(engine.tasks) == 7


def test_closing_cancels_the_segments_in_flight() -> None:
    engine = FakeEngine()
    speeches = stream_of(engine, 9, 3)
    next(speeches)
    in_flight = engine.in_flight
    speeches.close()
    assert [future.was_cancelled for future in in_flight] == [True] * 3


def test_a_failure_is_raised_after_the_segments_before_it() -> None:
    def samples(text: str, seed: int) -> np.ndarray:
        if text == "segment 2":
            raise TextError("cannot be generated")
        return np.zeros(RATE, np.float32)

    engine = FakeEngine(samples)
    speeches = stream_of(engine, 5, 3, attempts=2)
    with pytest.warns(UserWarning, match="none of 2 attempts"):
        assert [next(speeches).text, next(speeches).text] == ["segment 0", "segment 1"]
    in_flight = engine.in_flight
    with pytest.raises(TextError):
        next(speeches)
    assert all(future.was_cancelled or future.done() for future in in_flight)


def test_a_task_that_cannot_be_submitted_fails_in_order() -> None:
    engine = FakeEngine()

    def submit(task: SegmentTask, on_progress: Any) -> FakeFuture:
        if task.index == 1:
            raise TextError("blank")
        return engine.submit(task)

    speeches = streaming.stream(plan_of(segments(3), concurrency=3), submit)
    assert next(speeches).text == "segment 0"
    with pytest.raises(TextError, match="blank"):
        next(speeches)


def test_a_full_engine_is_tried_again_when_a_segment_is_done() -> None:
    assert len(list(stream_of(FakeEngine(room=2), 6, 5))) == 6
    with pytest.raises(QueueFullError):
        next(stream_of(FakeEngine(room=0), 6, 5))


def test_a_queue_that_others_filled_is_awaited_once_the_text_has_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = FakeEngine()
    refusals = iter([False, True, True, False])
    pauses: list[float] = []
    monkeypatch.setattr(streaming.time, "sleep", pauses.append)

    def submit(task: SegmentTask, on_progress: Any) -> FakeFuture:
        if next(refusals):
            raise QueueFullError("full")
        return engine.submit(task)

    texts = [speech.text for speech in streaming.stream(plan_of(segments(2)), submit)]
    assert texts == ["segment 0", "segment 1"]
    assert len(pauses) == 1


def peak_bytes(count: int) -> int:
    engine = FakeEngine(lambda text, seed: np.zeros(250_000, np.float32))
    tracemalloc.start()
    try:
        for speech in stream_of(engine, count, 2):
            assert speech.seconds > 10
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_number_of_segments() -> None:
    assert peak_bytes(60) < peak_bytes(6) + 500_000  # half of one segment


# Several texts


def test_a_text_that_fails_leaves_the_others() -> None:
    def samples(text: str, seed: int) -> np.ndarray:
        if seed == segment_seed(1, 1):
            raise TextError("cannot be generated")
        return np.full(RATE, 0.5, np.float32)

    plans = [plan_of(segments(3), seed=seed) for seed in range(3)]
    finished = list(streaming.stream_many(plans, FakeEngine(samples).submit, concurrency=2))
    found = {text.index: (len(text.speeches), type(text.error)) for text in finished}
    assert found == {0: (3, type(None)), 1: (1, TextError), 2: (3, type(None))}


def test_closing_cancels_the_texts_that_run_and_no_more_run_than_the_concurrency() -> None:
    plans = [plan_of(segments(2), seed=seed) for seed in range(5)]
    engine = FakeEngine()
    texts = streaming.stream_many(plans, engine.submit, concurrency=2)
    next(texts)
    in_flight = engine.in_flight
    assert 1 <= len(in_flight) <= 2
    texts.close()
    assert all(future.was_cancelled for future in in_flight)


def test_plan_is_taken_when_its_text_begins() -> None:
    taken = []

    def plans() -> Iterator[StreamPlan]:
        for seed in range(5):
            taken.append(seed)
            yield plan_of(segments(1), seed=seed)

    texts = streaming.stream_many(plans(), FakeEngine().submit, concurrency=2)
    next(texts)
    assert len(taken) < 5
    assert len(list(texts)) == 4


def test_a_full_queue_delays_further_texts() -> None:
    plans = [plan_of(segments(2), seed=seed) for seed in range(3)]
    finished = list(streaming.stream_many(plans, FakeEngine(room=1).submit, concurrency=3))
    assert [len(text.speeches) for text in finished] == [2, 2, 2]
