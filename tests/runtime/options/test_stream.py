"""Options of long text: defaults, ranges, exclusions."""

import dataclasses
import inspect
from typing import Any

import pytest

from bark_onnx.runtime import Bark, GenerationOptions, OptionsError, StreamOptions
from bark_onnx.runtime.text.segments import split_text
from tests.support.messages import assert_one_line


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"history": "next"}, ("history", "'next'", "voice, previous, first")),
        ({"silence_seconds": -1}, ("silence_seconds", "-1", "from 0")),
        ({"silence_seconds": float("nan")}, ("silence_seconds", "nan")),
        ({"crossfade_seconds": 61}, ("crossfade_seconds", "61", "to 60")),
        ({"crossfade_seconds": None}, ("crossfade_seconds", "None")),
        ({"silence_seconds": 0.1, "crossfade_seconds": 0.1}, ("only one of them",)),
        ({"concurrency": 0}, ("concurrency", "0", "from 1")),
        ({"concurrency": 2, "history": "previous"}, ("concurrency", "2", "expected 1")),
        ({"language": "nl"}, ("language", "'nl'", "de, en")),
        ({"max_seconds": 0.5}, ("max_seconds", "0.5", "from 1")),
        ({"max_seconds": 10**400}, ("max_seconds", "from 1")),
        ({"attempts": 0}, ("attempts is 0", "an integer from 1")),
        ({"attempts": True}, ("attempts is True",)),
        ({"trim": 1}, ("trim is 1", "True or False")),
        ({"limit_duration": "yes"}, ("limit_duration", "True or False")),
        ({"normalize_peak": 0}, ("normalize_peak is 0", "at most 1")),
        ({"normalize_peak": 1.01}, ("normalize_peak is 1.01",)),
    ],
)
def test_values_out_of_range_are_refused(settings: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(OptionsError) as caught:
        StreamOptions(**settings)
    assert_one_line(caught.value, *words)


def test_silence_is_a_quarter_of_a_second_unless_segments_overlap() -> None:
    assert StreamOptions().gap_seconds == 0.25
    assert StreamOptions(crossfade_seconds=0.1).gap_seconds == 0
    assert StreamOptions(silence_seconds=0).gap_seconds == 0


def test_only_changes_of_the_sound_are_recorded() -> None:
    assert StreamOptions(concurrency=8).non_default() == {}
    options = StreamOptions(language="de", attempts=3, concurrency=2)
    assert options.non_default() == {"language": "de", "attempts": 3}


def test_replace_names_an_unknown_option() -> None:
    assert StreamOptions().replace(attempts=2) == StreamOptions(attempts=2)
    with pytest.raises(OptionsError) as caught:
        StreamOptions().replace(takes=2)
    assert_one_line(caught.value, "'takes' is unknown", "attempts")


def test_any_finite_number_of_seconds_is_a_limit() -> None:
    text = "Hello there. " * 400
    for seconds in (StreamOptions(max_seconds=1e308).max_seconds, 10**300):
        parts = split_text(
            text,
            count_tokens=lambda part: len(part.split()),
            max_tokens=256,
            max_seconds=seconds,
            tokens_per_second=3.6,
        )
        assert max(part.tokens for part in parts) <= 256


def test_no_option_belongs_to_generation_and_to_long_text() -> None:
    names = {field.name for field in dataclasses.fields(GenerationOptions)}
    assert not names & {field.name for field in dataclasses.fields(StreamOptions)}


def test_stream_has_at_most_eight_parameters() -> None:
    assert len(inspect.signature(Bark.stream).parameters) - 1 <= 8
