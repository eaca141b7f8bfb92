"""Long text through a real bundle: streams, plans, async streams, several texts."""

import asyncio
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from bark_onnx.runtime import (
    Bark,
    EngineError,
    GenerationOptions,
    OptionsError,
    Speech,
    TextError,
    VoiceError,
)
from bark_onnx.runtime.longform import streaming
from tests.support.load import assert_same_speeches
from tests.support.messages import assert_one_line

TEXT = (
    "Here is the first sentence of it. Then there is another one, somewhat longer. "
    "What about a third? It comes now! And a fourth one, to be sure. The end is near."
)
SHORT = GenerationOptions(semantic_max_new_tokens=15)


@pytest.mark.parametrize("seed", [-1, 1.5, "1", True])
def test_an_invalid_seed_is_refused(random_bark: Bark, seed: Any) -> None:
    with pytest.raises(OptionsError) as caught:
        random_bark.stream("Hello", seed=seed)
    assert_one_line(caught.value, f"seed is {seed!r}", "from 0")


def test_a_short_text_equals_speak(random_bark: Bark) -> None:
    (streamed,) = random_bark.stream(" Hello! ", voice="v2/en_speaker_0", seed=3, options=SHORT)
    spoken = random_bark.speak(" Hello! ", voice="v2/en_speaker_0", seed=3, options=SHORT)
    assert_same_speeches([streamed], [spoken])
    assert streamed.voice_name == spoken.voice_name


@pytest.mark.parametrize("concurrency", [2, 3, 8])
def test_segments_do_not_depend_on_the_concurrency(random_bark: Bark, concurrency: int) -> None:
    settings: dict[str, Any] = {"voice": "v2/en_speaker_0", "seed": 3, "options": SHORT}
    alone = list(random_bark.stream(TEXT, **settings))
    assert len(alone) > 3
    assert_same_speeches(list(random_bark.stream(TEXT, concurrency=concurrency, **settings)), alone)
    for part in alone:
        again = random_bark.speak(part.text, voice=part.voice_name, seed=part.seed, options=SHORT)
        np.testing.assert_array_equal(again.samples, part.samples)
    assert len({part.seed for part in alone}) == len(alone)


def test_segments_join_to_the_text(random_bark: Bark) -> None:
    parts = list(
        random_bark.stream(TEXT, seed=0, options=SHORT, concurrency=8, silence_seconds=0.5)
    )
    assert " ".join(part.text for part in parts) == TEXT
    assert parts[0].start_seconds == 0
    for before, after in pairwise(parts):
        assert after.start_seconds == pytest.approx(before.end_seconds + 0.5)


def test_a_segment_continues_the_previous_one(random_bark: Bark) -> None:
    voice: Any = "v2/en_speaker_0"
    parts = list(random_bark.stream(TEXT, voice=voice, seed=3, options=SHORT, history="previous"))
    expected = []
    for part in parts:
        speech = random_bark.speak(part.text, voice=voice, seed=part.seed, options=SHORT)
        expected.append(speech.samples)
        voice = speech.to_voice()
    for part, samples in zip(parts, expected, strict=True):
        np.testing.assert_array_equal(part.samples, samples)


def test_history_first_uses_the_voice_of_the_first_segment(random_bark: Bark) -> None:
    parts = list(random_bark.stream(TEXT, seed=3, options=SHORT, history="first", concurrency=4))
    assert len(parts) > 3
    voice = None
    for part in parts:
        speech = random_bark.speak(part.text, voice=voice, seed=part.seed, options=SHORT)
        np.testing.assert_array_equal(part.samples, speech.samples)
        voice = voice or speech.to_voice()


def test_history_first_keeps_a_given_voice(random_bark: Bark) -> None:
    settings: dict[str, Any] = {"voice": "v2/en_speaker_0", "seed": 3, "options": SHORT}
    assert_same_speeches(
        list(random_bark.stream(TEXT, history="first", **settings)),
        list(random_bark.stream(TEXT, **settings)),
    )


def test_a_dialogue_has_a_voice_per_speaker(random_bark: Bark) -> None:
    mine = random_bark.speak("x", seed=1, options=SHORT).to_voice("mine")
    text = "Good evening.\nAnna: Hello!\nBen: Hi."
    parts = list(
        random_bark.stream(
            text,
            speakers={"Anna": "v2/en_speaker_0", "Ben": mine},
            seed=3,
            options=SHORT,
            concurrency=3,
        )
    )
    found = [(part.speaker, part.text, part.voice_name) for part in parts]
    assert found == [
        ("", "Good evening.", ""),
        ("Anna", "Hello!", "v2/en_speaker_0"),
        ("Ben", "Hi.", "mine"),
    ]


def test_invalid_arguments_are_refused_before_anything_is_generated(random_bark: Bark) -> None:
    for error, settings in (
        (VoiceError, {"voice": "nobody"}),
        (VoiceError, {"speakers": {"Anna": "nobody"}, "text": "Anna: Hello!"}),
        (TextError, {"speakers": {"Ben": None}}),
        (OptionsError, {"speakers": {"": None}}),
        (TextError, {"text": 3}),
        (OptionsError, {"language": "nl"}),
        (OptionsError, {"semantic_temperature": -1}),
        (OptionsError, {"attempts": 0}),
        (OptionsError, {"history": "next"}),
    ):
        with pytest.raises(error):
            random_bark.stream(**{"text": "Hello", **settings})


def test_progress_is_that_of_the_segment_returned_next(random_bark: Bark) -> None:
    events: list[tuple[str, int, int]] = []
    speeches = random_bark.stream(
        TEXT, seed=0, options=SHORT, concurrency=4, on_progress=lambda *event: events.append(event)
    )
    count = len(list(speeches))
    last_stage = [stage for stage, done, total in events if stage == "codec" and done == total]
    assert 1 <= len(last_stage) <= count
    assert {stage for stage, _, _ in events} == {"semantic", "coarse", "fine", "codec"}


def test_a_callback_of_the_engine_cannot_wait_for_a_stream(random_bark: Bark) -> None:
    errors: list[BaseException] = []

    def wait(stage: str, done: int, total: int) -> None:
        if not errors:
            try:
                list(random_bark.stream("Hello", seed=1, options=SHORT))
            except EngineError as error:
                errors.append(error)

    random_bark.speak("Hello", seed=1, options=SHORT, on_progress=wait)
    assert_one_line(errors[0], "deadlock", "submit()")


# Plans


def test_a_plan_streams_what_its_text_streams(random_bark: Bark) -> None:
    settings: dict[str, Any] = {"seed": 3, "options": SHORT, "crossfade_seconds": 0.05}
    plan = random_bark.plan(TEXT, **settings)
    assert " ".join(segment.text for segment in plan.segments) == TEXT
    assert plan.seed == 3
    assert_same_speeches(list(random_bark.stream(plan)), list(random_bark.stream(TEXT, **settings)))


def test_options_of_a_plan_cannot_be_changed(random_bark: Bark) -> None:
    plan = random_bark.plan("Hello", seed=3)
    with pytest.raises(OptionsError) as caught:
        random_bark.stream(plan, seed=4)
    assert_one_line(caught.value, "seed is part of the plan", "Bark.plan")


def test_an_unknown_option_is_named(random_bark: Bark) -> None:
    with pytest.raises(OptionsError) as caught:
        random_bark.plan("Hello", crosfade_seconds=1)
    assert_one_line(caught.value, "'crosfade_seconds' is unknown", "expected one of")


def test_every_segment_carries_the_provenance_of_the_whole(random_bark: Bark) -> None:
    parts = list(random_bark.stream(TEXT, seed=3, options=SHORT, trim=True))
    for number, part in enumerate(parts, 1):
        assert part.provenance is not None
        assert (part.provenance.text, part.provenance.seed) == (TEXT, 3)
        assert part.provenance.segment == number
        assert part.provenance.stream == {"trim": True}


# Asynchronous streams


def test_an_async_stream_equals_the_stream(random_bark: Bark) -> None:
    settings: dict[str, Any] = {"seed": 3, "options": SHORT, "concurrency": 3}

    async def collect() -> list[Speech]:
        return [speech async for speech in random_bark.astream(TEXT, **settings)]

    assert_same_speeches(asyncio.run(collect()), list(random_bark.stream(TEXT, **settings)))


def test_closing_an_async_stream_cancels_its_requests(random_bark: Bark) -> None:
    async def first() -> Speech:
        speeches = random_bark.astream(TEXT, seed=3, concurrency=4)
        speech = await anext(speeches)
        await speeches.aclose()
        return speech

    assert TEXT.startswith(asyncio.run(first()).text)
    assert random_bark.speak("Hello", options=SHORT, seed=1).seconds > 0
    status = random_bark.engine_status()
    assert (status.waiting, status.running) == (0, 0)


def test_an_async_stream_fails_as_the_stream_does(random_bark: Bark) -> None:
    async def collect() -> list[Speech]:
        return [speech async for speech in random_bark.astream("  ", seed=1)]

    with pytest.raises(TextError):
        asyncio.run(collect())


# Several texts


def test_several_texts_equal_single_streams(random_bark: Bark) -> None:
    texts = [TEXT, "Hello!", "One more. And another one, to be sure."]
    settings: dict[str, Any] = {"options": SHORT, "max_seconds": 3}
    plans = [random_bark.plan(text, seed=number, **settings) for number, text in enumerate(texts)]
    finished = list(streaming.stream_many(plans, random_bark.submit_segment, concurrency=2))
    assert sorted(text.index for text in finished) == [0, 1, 2]
    for text in finished:
        assert text.error is None
        assert text.seconds > 0
        single = random_bark.stream(texts[text.index], seed=text.index, **settings)
        assert_same_speeches(text.speeches, list(single))
