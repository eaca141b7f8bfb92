"""Options of long text in requests: the same samples as those of the library."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bark_onnx.runtime import Bark, StreamOptions
from bark_onnx.runtime.audio.encoders.encoder import open_encoder
from bark_onnx.runtime.audio.files.formats import RESPONSE_FORMATS
from bark_onnx.runtime.audio.timeline import SpeechTimeline
from bark_onnx.runtime.server.settings import ServerSettings
from bark_onnx.runtime.server.speech_request import LongTextSettings
from tests.runtime.server.test_speech import LONG, refused
from tests.support.scripted_bark import ScriptedBark
from tests.support.server_process import RunningServer, running_server

Pcm = NDArray[np.int16]

VOICE = "v2/en_speaker_0"
GERMAN = "Der Hund schläft, z. B. Dr. Meier kennt ihn gut. Die Katze auch."  # four segments
DIALOGUE = "Once upon a time.\nAnna: Hello! How are you?\nBen: Fine.\nAnna: Good."
FIELDS: dict[str, Any] = {"max_seconds": 4, "seed": 0, "semantic_max_new_tokens": 12}
DEFAULTS = StreamOptions(history="first", silence_seconds=0.25, concurrency=4)
SETTINGS: list[dict[str, Any]] = [
    {"language": "en"},
    {"max_seconds": 3},
    {"history": "voice"},
    {"history": "previous"},
    {"silence_seconds": 0.1},
    {"crossfade_seconds": 0.1},
    {"attempts": 2},
    {"trim": True},
    {"limit_duration": True},
    {"normalize_peak": 0.5},
]


def library_pcm(bark: Bark, text: str, **fields: Any) -> Pcm:
    """Speech of the library as pcm; by default with the server's own settings."""
    timeline = SpeechTimeline(bark.sample_rate_hz)
    encoder = open_encoder(RESPONSE_FORMATS["pcm"], bark.sample_rate_hz, streamed=True)
    usual: dict[str, Any] = {"history": "first", **FIELDS}
    speeches = bark.stream(text, **{**usual, **fields})
    chunks = [encoder.add(timeline.add(speech)) for speech in speeches]
    return np.frombuffer(b"".join([*chunks, encoder.finish()]), "<i2")


def server_pcm(server: RunningServer, text: str, **fields: Any) -> Pcm:
    response = server.speak(text, response_format="pcm", **{**FIELDS, **fields})
    assert response.status_code == 200, response.text
    return np.frombuffer(response.content, "<i2")


@pytest.mark.filterwarnings("ignore:segment .* attempts:UserWarning")
@pytest.mark.parametrize("fields", SETTINGS, ids=lambda fields: next(iter(fields)))
def test_response_equals_the_stream_of_the_library(
    random_server: RunningServer, random_bark: Bark, fields: dict[str, Any]
) -> None:
    text = GERMAN
    if "limit_duration" in fields:
        text, fields = "a", {**fields, "semantic_max_new_tokens": 190}  # the limit is 178
    if "attempts" in fields:
        fields = {**fields, "seed": 55}  # one of its segments is clipped
    samples = server_pcm(random_server, text, **fields)
    assert np.array_equal(samples, library_pcm(random_bark, text, **fields))
    if "trim" not in fields:  # random weights generate no silence
        default = library_pcm(random_bark, text, **{**fields, **_default(fields)})
        assert not np.array_equal(samples, default)


def _default(fields: dict[str, Any]) -> dict[str, Any]:
    """Value that a request has without the field."""
    name = next(iter(fields))
    return {name: FIELDS.get(name, getattr(DEFAULTS, name))} | (
        {"silence_seconds": 0.25} if name == "crossfade_seconds" else {}
    )


def test_response_without_options_continues_the_first_segment(
    random_server: RunningServer, random_bark: Bark
) -> None:
    first, *rest = random_bark.stream(GERMAN, **FIELDS)
    samples = server_pcm(random_server, GERMAN)
    assert np.array_equal(samples, library_pcm(random_bark, GERMAN))
    assert not np.array_equal(samples, library_pcm(random_bark, GERMAN, history="voice"))
    continued = random_bark.stream(GERMAN, voice=first.to_voice(), **FIELDS)
    silence = np.zeros(6000, np.float32)
    parts = [part for speech in [first, *[*continued][1:]] for part in (speech.samples, silence)]
    expected = np.concatenate(parts[:-1])
    assert len(rest) == 3
    np.testing.assert_allclose(samples / 32767, np.clip(expected, -1, 1), atol=1e-4)


def test_speakers_speak_their_lines(random_server: RunningServer, random_bark: Bark) -> None:
    speakers = {"Anna": VOICE, "Ben": None}
    samples = server_pcm(random_server, DIALOGUE, speakers={"Anna": {"id": VOICE}, "Ben": None})
    assert np.array_equal(samples, library_pcm(random_bark, DIALOGUE, speakers=speakers))
    swapped = library_pcm(random_bark, DIALOGUE, speakers={"Anna": None, "Ben": VOICE})
    assert not np.array_equal(samples, swapped)


def test_speakers_accept_aliases_and_languages(server: RunningServer, bark: ScriptedBark) -> None:
    fields = {"voice": "alloy", "speakers": {"Anna": "english", "Ben": "echo"}}
    assert server.speak(DIALOGUE, **fields).status_code == 200
    assert [(future.text, future.voice.name) for future in bark.futures] == [
        ("Once upon a time.", "v2/en_speaker_6"),
        ("Hello! How are you?", "v2/en_speaker_6"),
        ("Fine.", "v2/en_speaker_0"),
        ("Good.", "v2/en_speaker_6"),
    ]


def test_every_stream_option_that_matters_to_clients_is_a_field() -> None:
    defaults = {
        field.name: getattr(DEFAULTS, field.name) for field in dataclasses.fields(StreamOptions)
    }
    del defaults["concurrency"], defaults["seed_bits"]
    fields = {name: field.default for name, field in LongTextSettings.model_fields.items()}
    assert fields == {**defaults, "silence_seconds": None}
    assert {next(iter(fields)) for fields in SETTINGS} == set(fields)


@pytest.mark.parametrize("fields", SETTINGS, ids=lambda fields: next(iter(fields)))
def test_options_reach_the_plan(
    server: RunningServer, bark: ScriptedBark, fields: dict[str, Any]
) -> None:
    assert server.speak(LONG, **fields).status_code == 200
    expected = DEFAULTS
    if "crossfade_seconds" in fields:
        expected = expected.replace(silence_seconds=None)
    if fields.get("history") == "previous":
        expected = expected.replace(concurrency=1)
    assert bark.plans[-1].stream == expected.replace(**fields)


def test_server_sets_the_default_silence_and_the_concurrency(bark: ScriptedBark) -> None:
    with running_server(lambda: bark, silence_seconds=0.5, concurrency=2) as server:
        assert server.speak(LONG).status_code == 200
        assert server.speak(LONG, silence_seconds=0).status_code == 200
    expected = DEFAULTS.replace(silence_seconds=0.5, concurrency=2)
    assert [plan.stream for plan in bark.plans] == [expected, expected.replace(silence_seconds=0)]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"language": "xx"}, "language"),
        ({"language": ""}, "language"),
        ({"max_seconds": 0.5}, "max_seconds"),
        ({"max_seconds": 1e308}, "max_seconds"),
        ({"history": "next"}, "history"),
        ({"silence_seconds": -1}, "silence_seconds"),
        ({"silence_seconds": 61}, "silence_seconds"),
        ({"crossfade_seconds": 61}, "crossfade_seconds"),
        ({"silence_seconds": 1, "crossfade_seconds": 1}, "silence_seconds"),
        ({"attempts": 0}, "attempts"),
        ({"attempts": 11}, "attempts"),
        ({"trim": "yes"}, "trim"),
        ({"limit_duration": 1}, "limit_duration"),
        ({"normalize_peak": 0}, "normalize_peak"),
        ({"normalize_peak": 1.5}, "normalize_peak"),
        ({"concurrency": 2}, "concurrency"),
        ({"speakers": "Anna"}, "speakers"),
        ({"speakers": {"": "alloy"}}, "speakers"),
        ({"speakers": {"A" * 65: "alloy"}}, "speakers"),
        ({"speakers": {f"S{number}": None for number in range(33)}}, "speakers"),
        ({"speakers": {"Anna": 5}}, "speakers"),
        ({"speakers": {"Clara": "alloy"}}, "input"),
        ({"input": "Anna: Hello\nBen:", "speakers": {"Anna": None, "Ben": None}}, "input"),
    ],
)
def test_invalid_options_are_refused(
    server: RunningServer, bark: ScriptedBark, fields: dict[str, Any], param: str
) -> None:
    error = refused(server.speak(**{"text": DIALOGUE, **_as_arguments(fields)}), 400)
    assert error["param"] == param
    assert not bark.futures


def _as_arguments(fields: dict[str, Any]) -> dict[str, Any]:
    return {"text" if name == "input" else name: value for name, value in fields.items()}


@pytest.mark.parametrize("voice", ["unknown", "german", "../../etc/passwd", "/tmp/voice.npz"])
def test_unknown_voices_of_speakers_are_refused(
    server: RunningServer, bark: ScriptedBark, voice: str
) -> None:
    error = refused(server.speak(DIALOGUE, speakers={"Anna": voice}), 400)
    assert (error["param"], error["code"]) == ("speakers", "voice_not_found")
    assert not bark.futures


def test_default_silence_is_that_of_the_library() -> None:
    assert ServerSettings(model_id="x").silence_seconds == StreamOptions().gap_seconds
