"""Pieces follow each other: voices, seeds, takes, places; in memory a few at a time."""

import dataclasses
import tracemalloc
import weakref
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from bark_onnx.graphs.errors import QueueFullError
from bark_onnx.runtime import Bark, GenerationOptions, OptionsError, Speech, TextError, VoiceError
from bark_onnx.runtime.longform.attempts import Line
from bark_onnx.runtime.longform.quality import Cleaning
from bark_onnx.runtime.longform.reading import Reader, Reading
from bark_onnx.runtime.seeds import segment_seed
from bark_onnx.runtime.text.segments import Segment
from tests.support.messages import assert_one_line

RATE = 24_000
TEXT = (
    "Here is the first sentence of it. Then there is another one, somewhat longer. "
    "What about a third? It comes now! And a fourth one, to be sure. The end is near."
)
SHORT = GenerationOptions(semantic_max_new_tokens=15)
TOKENS = ("semantic_tokens", "coarse_tokens", "fine_tokens")


class FakeJob:
    """A text that is said when somebody waits for it."""

    def __init__(self, say: Callable[[], Speech]) -> None:
        self._say = say
        self.speech: Speech | None = None
        self.cancelled = False

    def done(self) -> bool:
        return self.speech is not None

    def result(self) -> Speech:
        if self.speech is None:
            self.speech = self._say()
        return self.speech

    def cancel(self) -> None:
        self.cancelled = True


class FakeBark:
    """Says what a function gives for a text and a seed, and keeps what it was asked."""

    def __init__(self, samples: Any = None, *, room: int | None = None) -> None:
        self.calls: list[tuple[str, Any, int, GenerationOptions]] = []
        self.jobs: list[weakref.ref[FakeJob]] = []
        self._samples = samples or (lambda text, seed: np.full(RATE, 0.5, np.float32))
        self._room = room

    @property
    def flying(self) -> list[FakeJob]:
        jobs = [job for ref in self.jobs if (job := ref()) is not None]
        return [job for job in jobs if not job.done()]

    def submit(
        self,
        text: str,
        *,
        voice: Any,
        seed: int,
        options: GenerationOptions,
        on_progress: Any = None,
    ) -> FakeJob:
        if self._room is not None and len(self.flying) >= self._room:
            raise QueueFullError("full")
        self.calls.append((text, voice, seed, options))
        tokens = np.zeros((8, 8), np.int64)

        def say() -> Speech:
            samples = self._samples(text, seed)
            drawn = np.full(8, seed % 1000)
            return Speech(samples, RATE, drawn, tokens[:2], tokens, text, "", seed)

        job = FakeJob(say)
        self.jobs.append(weakref.ref(job))
        return job


def lines(count: int, speakers: Sequence[str] = ("",)) -> list[Line]:
    return [
        Line(number, Segment(f"piece {number}", 4), None, speakers[number % len(speakers)])
        for number in range(count)
    ]


def read(fake: FakeBark, said: list[Line], **settings: Any) -> list[Speech]:
    cleaning = {
        field.name: settings.pop(field.name)
        for field in dataclasses.fields(Cleaning)
        if field.name in settings
    }
    options = GenerationOptions(semantic_max_new_tokens=768)
    reader = Reader(
        fake.submit,
        options,
        Reading(**settings),
        Cleaning(**cleaning),
        seed=7,
        semantic_rate_hz=50.0,
    )
    return list(reader.read(said))


def same(ours: Sequence[Speech], theirs: Sequence[Speech]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        assert (one.text, one.seed, one.start_seconds) == (
            other.text,
            other.seed,
            other.start_seconds,
        )
        for name in (*TOKENS, "samples"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


# Seeds


def test_every_take_of_every_piece_has_a_seed_of_its_own() -> None:
    seeds = {
        segment_seed(seed, index, take)
        for seed in range(5)
        for index in range(50)
        for take in range(4)
    }
    assert len(seeds) == 5 * 50 * 4
    assert segment_seed(5, 0) == 5
    assert segment_seed(5, 3, 1) == segment_seed(5, 3, 1)
    assert segment_seed(2**40, 1) != segment_seed(2**40 + 1, 1)


@pytest.mark.parametrize("seed", [-1, 1.5, "1", True])
def test_what_is_no_seed_is_refused(demo: Bark, seed: Any) -> None:
    with pytest.raises(OptionsError) as caught:
        demo.stream("Hello", seed=seed)
    assert_one_line(caught.value, f"seed is {seed!r}", "from 0")


# A real bundle


def test_a_short_text_is_said_as_speak_says_it(demo: Bark) -> None:
    (streamed,) = demo.stream(" Hello! ", voice="v2/en_speaker_0", seed=3, options=SHORT)
    spoken = demo.speak(" Hello! ", voice="v2/en_speaker_0", seed=3, options=SHORT)
    same([streamed], [spoken])
    assert streamed.voice_name == spoken.voice_name


@pytest.mark.parametrize("together", [2, 3, 8])
def test_pieces_do_not_depend_on_what_runs_beside_them(demo: Bark, together: int) -> None:
    settings: dict[str, Any] = {"voice": "v2/en_speaker_0", "seed": 3, "options": SHORT}
    alone = list(demo.stream(TEXT, **settings))
    assert len(alone) > 3
    same(list(demo.stream(TEXT, together=together, **settings)), alone)
    for piece in alone:
        again = demo.speak(piece.text, voice=piece.voice_name, seed=piece.seed, options=SHORT)
        np.testing.assert_array_equal(again.samples, piece.samples)
    assert len({piece.seed for piece in alone}) == len(alone)


def test_pieces_are_the_text_one_after_the_other(demo: Bark) -> None:
    pieces = list(demo.stream(TEXT, seed=0, options=SHORT, together=8, silence_seconds=0.5))
    assert " ".join(piece.text for piece in pieces) == TEXT
    assert pieces[0].start_seconds == 0
    for before, after in pairwise(pieces):
        assert after.start_seconds == pytest.approx(before.end_seconds + 0.5)


def test_a_piece_can_go_on_from_the_end_of_the_last(demo: Bark) -> None:
    voice = "v2/en_speaker_0"
    pieces = list(demo.stream(TEXT, voice=voice, seed=3, options=SHORT, continuity="previous"))
    expected = []
    for piece in pieces:
        speech = demo.speak(piece.text, voice=voice, seed=piece.seed, options=SHORT)
        expected.append(speech.samples)
        voice = speech.to_voice()
    for piece, samples in zip(pieces, expected, strict=True):
        np.testing.assert_array_equal(piece.samples, samples)


def test_a_dialogue_has_a_voice_per_name(demo: Bark) -> None:
    mine = demo.speak("x", seed=1, options=SHORT).to_voice("mine")
    text = "Good evening.\nAnna: Hello!\nBen: Hi."
    pieces = list(
        demo.stream(
            text, cast={"Anna": "v2/en_speaker_0", "Ben": mine}, seed=3, options=SHORT, together=3
        )
    )
    found = [(piece.speaker, piece.text, piece.voice_name) for piece in pieces]
    assert found == [
        ("", "Good evening.", ""),
        ("Anna", "Hello!", "v2/en_speaker_0"),
        ("Ben", "Hi.", "mine"),
    ]


def test_everything_wrong_is_refused_before_anything_is_said(demo: Bark) -> None:
    for error, settings in (
        (VoiceError, {"voice": "nobody"}),
        (VoiceError, {"cast": {"Anna": "nobody"}, "text": "Anna: Hello!"}),
        (TextError, {"cast": {"Ben": None}}),
        (TextError, {"text": 3}),
        (OptionsError, {"language": "nl"}),
        (OptionsError, {"semantic_temperature": -1}),
        (OptionsError, {"takes": 0}),
        (OptionsError, {"continuity": "next"}),
    ):
        with pytest.raises(error):
            demo.stream(**{"text": "Hello", **settings})


# Voices


def test_each_speaker_goes_on_from_their_own_last_piece() -> None:
    fake = FakeBark()
    read(fake, lines(4, ["Anna", "Ben"]), continuity="previous")
    seeds = [seed for _, _, seed, _ in fake.calls]
    voices = [voice for _, voice, _, _ in fake.calls]
    assert voices[:2] == [None, None]
    assert [voice.semantic_prompt[0] for voice in voices[2:]] == [s % 1000 for s in seeds[:2]]


# Takes


def silent_until(take_that_is_good: int) -> FakeBark:
    good = {segment_seed(7, number, take_that_is_good) for number in range(3)}

    def samples(_: str, seed: int) -> np.ndarray:
        return np.full(RATE, 0.5 if seed in good else 0.0, np.float32)

    return FakeBark(samples)


def test_takes_are_tried_until_one_passes_and_only_where_one_failed() -> None:
    fake = FakeBark(
        lambda text, seed: np.full(
            RATE, 0.5 if text != "piece 1" or seed == segment_seed(7, 1, 2) else 0.0, np.float32
        )
    )
    speeches = read(fake, lines(3), takes=5, together=3)
    said = [text for text, _, _, _ in fake.calls]
    assert said == ["piece 0", "piece 1", "piece 2", "piece 1", "piece 1"]
    assert speeches[1].seed == segment_seed(7, 1, 2)
    assert all(speech.samples.any() for speech in speeches)


def test_takes_are_the_same_whatever_runs_together() -> None:
    alone = read(silent_until(2), lines(3), takes=3)
    same(read(silent_until(2), lines(3), takes=3, together=3), alone)
    assert [speech.seed for speech in alone] == [segment_seed(7, number, 2) for number in range(3)]


def test_where_no_take_passes_the_best_is_kept_with_a_warning_of_one_line() -> None:
    def samples(_: str, seed: int) -> np.ndarray:
        return np.zeros(RATE * (2 if seed == segment_seed(7, 0, 1) else 20), np.float32)

    with pytest.warns(UserWarning, match="piece 1: none of 3 takes passes") as caught:
        (speech,) = read(FakeBark(samples), lines(1), takes=3)
    assert_one_line(caught[0].message, "silent", "another seed")
    assert speech.seed == segment_seed(7, 0, 1)


def test_one_take_is_not_judged() -> None:
    fake = FakeBark(lambda text, seed: np.zeros(RATE, np.float32))
    assert len(read(fake, lines(1))) == 1
    assert len(fake.calls) == 1


def test_babble_is_limited_only_where_asked_and_by_each_piece_alone() -> None:
    said = [*lines(2), Line(2, Segment("a long one", 46), None, "")]
    for together in (1, 3):
        fake = FakeBark()
        read(fake, said, stop_babble=True, together=together)
        limits = {text: options.semantic_max_new_tokens for text, _, _, options in fake.calls}
        assert limits == {"piece 0": 262, "piece 1": 262, "a long one": 768}
    fake = FakeBark()
    read(fake, said)
    assert {options for _, _, _, options in fake.calls} == {
        GenerationOptions(semantic_max_new_tokens=768)
    }


# Places


def test_pieces_overlap_as_long_as_asked() -> None:
    levels = {"piece 0": 0.2, "piece 1": 0.6, "piece 2": 0.4}
    fake = FakeBark(lambda text, seed: np.full(RATE, levels[text], np.float32))
    speeches = read(fake, lines(3), crossfade_seconds=0.25)
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
def test_pieces_shorter_than_the_overlap_lose_nothing(lengths: tuple[int, ...]) -> None:
    fake = FakeBark(lambda text, seed: np.full(lengths[int(text[-1])], 0.5, np.float32))
    speeches = read(fake, lines(3), crossfade_seconds=1.0)
    whole = np.concatenate([speech.samples for speech in speeches])
    np.testing.assert_allclose(whole, 0.5, rtol=1e-6)
    assert max(lengths) <= len(whole) <= sum(lengths)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"continuity": "next"}, ("continuity", "'next'", "voice, previous")),
        ({"silence_seconds": -1}, ("silence_seconds", "-1", "from 0")),
        ({"silence_seconds": float("nan")}, ("silence_seconds", "nan")),
        ({"crossfade_seconds": 61}, ("crossfade_seconds", "61", "to 60")),
        ({"silence_seconds": 0.1, "crossfade_seconds": 0.1}, ("only one of them",)),
        ({"together": 0}, ("together", "0", "from 1")),
        ({"together": 2, "continuity": "previous"}, ("together", "2", "expected 1")),
    ],
)
def test_settings_out_of_range_are_refused(
    settings: dict[str, Any], words: tuple[str, ...]
) -> None:
    with pytest.raises(OptionsError) as caught:
        Reading(**settings)
    assert_one_line(caught.value, *words)


def test_silence_is_a_quarter_of_a_second_unless_pieces_overlap() -> None:
    assert Reading().gap_seconds == 0.25
    assert Reading(crossfade_seconds=0.1).gap_seconds == 0
    assert Reading(silence_seconds=0).gap_seconds == 0


# Memory


def reader_of(fake: FakeBark, together: int, **settings: Any) -> Reader:
    return Reader(
        fake.submit,
        GenerationOptions(),
        Reading(together=together),
        Cleaning(**settings),
        seed=0,
        semantic_rate_hz=50.0,
    )


def test_nothing_is_said_before_it_is_asked_for_nor_kept_after() -> None:
    fake = FakeBark()
    speeches = reader_of(fake, 2).read(lines(10))
    assert fake.calls == []
    first = weakref.ref(next(speeches))
    assert len(fake.calls) == 3  # while this one is used, the next two are said
    for _ in range(4):
        next(speeches)
    assert len(fake.calls) == 7
    assert first() is None


@pytest.mark.parametrize("together", [1, 3])
def test_no_more_are_said_at_a_time_than_asked(together: int) -> None:
    fake = FakeBark()
    for _ in reader_of(fake, together).read(lines(7)):
        assert len(fake.flying) <= together
    assert len(fake.calls) == 7


def test_closing_cancels_what_is_being_said() -> None:
    fake = FakeBark()
    speeches = reader_of(fake, 3).read(lines(9))
    next(speeches)
    flying = fake.flying
    speeches.close()
    assert [job.cancelled for job in flying] == [True] * 3


def test_a_piece_that_fails_is_told_after_those_before_it() -> None:
    def samples(text: str, seed: int) -> np.ndarray:
        if text == "piece 2":
            raise TextError("cannot be said")
        return np.zeros(RATE, np.float32)

    fake = FakeBark(samples)
    speeches = reader_of(fake, 3, takes=2).read(lines(5))
    with pytest.warns(UserWarning, match="none of 2 takes"):
        assert [next(speeches).text, next(speeches).text] == ["piece 0", "piece 1"]
    flying = fake.flying
    with pytest.raises(TextError):
        next(speeches)
    assert all(job.cancelled for job in flying)


def test_a_full_engine_is_asked_again_when_a_piece_is_done() -> None:
    fake = FakeBark(room=2)
    assert len(list(reader_of(fake, 5).read(lines(6)))) == 6
    with pytest.raises(QueueFullError):
        next(reader_of(FakeBark(room=0), 5).read(lines(6)))


class EagerBark(FakeBark):
    """Says the first three texts as soon as the third has come."""

    def submit(self, text: str, **settings: Any) -> FakeJob:
        job = super().submit(text, **settings)
        if len(self.calls) == 3:
            for flying in self.flying:
                flying.result()
        return job


def test_next_takes_of_all_that_failed_run_together() -> None:
    fake = EagerBark(lambda text, seed: np.zeros(RATE, np.float32))
    with pytest.warns(UserWarning, match="piece 1: none of 2 takes"):
        next(reader_of(fake, 3, takes=2).read(lines(3)))
    said = [text for text, _, _, _ in fake.calls]
    assert said[:3] == said[3:] == ["piece 0", "piece 1", "piece 2"]


def test_progress_is_that_of_the_piece_that_comes_next(demo: Bark) -> None:
    heard: list[tuple[str, int, int]] = []
    speeches = demo.stream(
        TEXT, seed=0, options=SHORT, together=4, on_progress=lambda *event: heard.append(event)
    )
    pieces = len(list(speeches))
    last_stage = [stage for stage, done, total in heard if stage == "codec" and done == total]
    assert 1 <= len(last_stage) <= pieces
    assert {stage for stage, _, _ in heard} == {"semantic", "coarse", "fine", "codec"}


def peak_bytes(count: int) -> int:
    fake = FakeBark(lambda text, seed: np.zeros(250_000, np.float32))
    tracemalloc.start()
    try:
        reader = reader_of(fake, 2)
        for speech in reader.read(lines(count)):
            assert speech.seconds > 10
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_number_of_pieces() -> None:
    assert peak_bytes(60) < peak_bytes(6) + 500_000  # half of one piece
