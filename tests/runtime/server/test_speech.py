"""POST /v1/audio/speech: what is said, how it is sent, and what is refused."""

import base64
import dataclasses
import io
import json
import struct
import wave
from typing import Any

import av
import httpx2
import numpy as np
import pytest

from bark_onnx.graphs.errors import EngineError
from bark_onnx.runtime import GenerationOptions, Voice
from bark_onnx.runtime.audio.files.formats import RESPONSE_FORMATS as FORMATS
from bark_onnx.runtime.seeds import segment_seed
from bark_onnx.runtime.server.schema import BarkSettings
from tests.runtime.server.conftest import Background, Running, running, wait_until
from tests.support.messages import assert_one_line
from tests.support.scripted_bark import RATE_HZ, SECONDS, ScriptedBark, speech

# Three pieces: each sentence has more than half of the words that one piece holds.
LONG = " ".join(f"{name} {'word ' * 29}end." for name in ("One", "Two", "Three"))
PAUSE = 0.25  # seconds of silence between two pieces
LONG_SECONDS = 3 * SECONDS + 2 * PAUSE


def decoded(data: bytes) -> tuple[np.ndarray[Any, Any], int]:
    """Samples, float (n,), and their rate."""
    with av.open(io.BytesIO(data)) as file:
        resampler = av.AudioResampler(format="flt", layout="mono")
        frames = [part for frame in file.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]), frames[0].sample_rate


def refused(response: httpx2.Response, status: int, *words: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert_one_line(error["message"], *words)
    return error


def events(body: str) -> list[dict[str, Any]]:
    found = []
    for event in body.strip().split("\n\n"):
        name, data = event.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


# Formats


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("stream_format", [None, "audio"])
def test_every_format_has_the_sound(served: Running, name: str, stream_format: str | None) -> None:
    response = served.say(LONG, response_format=name, stream_format=stream_format)
    assert response.status_code == 200
    assert response.headers["content-type"] == f"audio/{'mpeg' if name == 'mp3' else name}"
    if name == "pcm":
        samples, rate = np.frombuffer(response.content, "<i2") / 32767, RATE_HZ
    else:
        samples, rate = decoded(response.content)
    assert rate == (48_000 if name == "opus" else RATE_HZ)
    assert len(samples) / rate == pytest.approx(LONG_SECONDS, abs=0.1)
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.1)
    # Between the first two pieces there is silence.
    middle = round((SECONDS + PAUSE / 2) * rate)
    assert np.abs(samples[middle - 100 : middle + 100]).max() < 0.05


def test_mp3_is_what_comes_unless_asked_otherwise(served: Running) -> None:
    assert served.say().headers["content-type"] == "audio/mpeg"


def test_a_wav_states_its_length_unless_it_is_streamed(served: Running) -> None:
    whole = served.say(LONG, response_format="wav")
    assert int(whole.headers["content-length"]) == len(whole.content)
    with wave.open(io.BytesIO(whole.content)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
        assert file.getnframes() == round(LONG_SECONDS * RATE_HZ)
    streamed = served.say(LONG, response_format="wav", stream_format="audio")
    assert streamed.headers["transfer-encoding"] == "chunked"
    assert struct.unpack_from("<I", streamed.content, 4) == (0xFFFFFFFF,)
    assert struct.unpack_from("<I", streamed.content, 40) == (0xFFFFFFFF,)
    assert streamed.content[44:] == whole.content[44:]


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_said_is_a_sound_that_can_be_opened(
    served: Running, bark: ScriptedBark, name: str
) -> None:
    bark.seconds = 0
    data = served.say(response_format=name).content
    if name == "pcm":
        assert data == b""
    elif name == "wav":
        assert len(data) == 44
    else:
        samples, rate = decoded(data)
        assert 0 < len(samples) / rate < 0.25
        assert np.abs(samples).max() < 0.01


@pytest.mark.parametrize("speed", [0.25, 0.5, 2, 4])
def test_speed_stretches_the_sound(served: Running, speed: float) -> None:
    response = served.say(LONG, response_format="pcm", speed=speed)
    seconds = len(response.content) / 2 / RATE_HZ
    assert seconds == pytest.approx(LONG_SECONDS / speed, rel=0.1)


# Pieces


def test_pieces_are_in_the_engine_together_and_are_sent_in_order(bark: ScriptedBark) -> None:
    bark.answers = False
    body = {"input": LONG, "response_format": "pcm", "voice": "alloy", "seed": 7}
    with running(lambda: bark, pieces_at_once=2) as served, Background() as background:
        response = background(served.http.post, "/v1/audio/speech", json=body)
        first, second = bark.wait_for_jobs(2)
        second.end()
        assert len(bark.jobs) == 2
        first.end()
        third = bark.wait_for_jobs(3)[2]
        third.end()
        content = response.result().content
    said = [job.text for job in bark.jobs]
    assert " ".join(said) == LONG
    assert [job.seed for job in bark.jobs] == [7, segment_seed(7, 1), segment_seed(7, 2)]
    assert len({job.seed for job in bark.jobs}) == 3
    assert {job.voice.name for job in bark.jobs} == {"v2/en_speaker_6"}
    assert len({id(job.voice) for job in bark.jobs}) == 1  # loaded once
    pause = np.zeros(round(PAUSE * RATE_HZ))
    parts = [speech(text, 0).samples for text in said]
    expected = np.concatenate([parts[0], pause, parts[1], pause, parts[2]])
    found = np.frombuffer(content, "<i2")
    np.testing.assert_allclose(found, expected * 32768, atol=1)


def test_a_piece_is_sent_while_the_next_is_being_said(bark: ScriptedBark) -> None:
    bark.answers = False
    body = {"input": LONG, "response_format": "pcm", "voice": "alloy"}
    with running(lambda: bark) as served, Background() as background:
        background(lambda: bark.wait_for_jobs(3)[0].end())
        with served.http.stream("POST", "/v1/audio/speech", json=body) as response:
            chunks = response.iter_bytes()
            assert len(next(chunks)) == 2 * round(SECONDS * RATE_HZ)
            assert [job.ended.is_set() for job in bark.jobs] == [True, False, False]
            for job in bark.jobs[1:]:
                job.end()
            assert sum(map(len, chunks)) == 2 * round((LONG_SECONDS - SECONDS) * RATE_HZ)


def test_without_a_voice_the_first_piece_that_speaks_lends_its_own(bark: ScriptedBark) -> None:
    bark.answers = False
    with running(lambda: bark) as served, Background() as background:
        response = background(served.say, LONG)
        bark.wait_for_jobs(1)[0].end(speech("", 0, seconds=0))
        bark.wait_for_jobs(2)[1].end()
        bark.wait_for_jobs(3)[2].end()
        assert response.result().status_code == 200
    voices = [job.voice for job in bark.jobs]
    assert voices[:2] == [None, None]
    assert isinstance(voices[2], Voice)


def test_events_carry_the_same_bytes_and_then_the_usage(served: Running) -> None:
    plain = served.say(LONG, response_format="pcm", seed=1).content
    response = served.say(LONG, response_format="pcm", seed=1, stream_format="sse")
    assert response.headers["content-type"].startswith("text/event-stream")
    *deltas, done = events(response.text)
    assert [event["type"] for event in deltas] == ["speech.audio.delta"] * 3
    assert b"".join(base64.b64decode(event["audio"]) for event in deltas) == plain
    read, drawn = len(LONG.split()), 3 * round(SECONDS * 50)
    assert done["type"] == "speech.audio.done"
    assert done["usage"] == {
        "input_tokens": read,
        "output_tokens": drawn,
        "total_tokens": read + drawn,
    }


# Settings


def test_every_setting_of_the_library_is_a_field_of_the_body() -> None:
    names = {field.name for field in dataclasses.fields(GenerationOptions)}
    assert set(BarkSettings.model_fields) == names | {"temperature", "top_k", "top_p", "do_sample"}


def test_settings_reach_the_engine(served: Running, bark: ScriptedBark) -> None:
    settings = {
        "temperature": 0.9,
        "semantic_temperature": 0.6,
        "coarse_top_k": 10,
        "semantic_top_p": 0.5,
        "min_eos_p": 0.05,
        "semantic_max_new_tokens": 99,
        "fine_do_sample": False,
    }
    assert served.say(**settings, seed=5).headers["x-bark-seed"] == "5"
    assert bark.jobs[0].options == GenerationOptions().replace(**settings)
    assert bark.jobs[0].seed == 5
    served.say(sampling="greedy", semantic_do_sample=True)
    assert bark.jobs[1].options == GenerationOptions.greedy().replace(semantic_do_sample=True)
    served.say(sampling="suno", min_eos_p_warped=False)
    assert bark.jobs[2].options == GenerationOptions.suno().replace(min_eos_p_warped=False)


def test_a_seed_is_drawn_and_told_where_none_was_given(served: Running, bark: ScriptedBark) -> None:
    told = [served.say().headers["x-bark-seed"] for _ in range(2)]
    assert [str(job.seed) for job in bark.jobs] == told
    assert told[0] != told[1]


def test_instructions_change_nothing(served: Running, bark: ScriptedBark) -> None:
    served.say(seed=1)
    assert served.say(seed=1, instructions="Whisper!").status_code == 200
    first, second = bark.jobs
    assert (first.text, first.options) == (second.text, second.options)


@pytest.mark.parametrize("model", ["scripted", "tts-1", "tts-1-hd", "gpt-4o-mini-tts", None])
def test_all_names_of_the_model_are_good(served: Running, model: str | None) -> None:
    assert served.say(model=model).status_code == 200


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"input": ""}, 400, "input"),
        ({"input": " \n"}, 400, "input"),
        ({"input": 5}, 400, "input"),
        ({"input": "a" * 4097}, 400, "input"),
        ({"model": "whisper-1"}, 404, "model"),
        ({"voice": "nobody"}, 400, "voice"),
        ({"voice": {"id": "nobody"}}, 400, "voice"),
        ({"voice": "../../etc/passwd"}, 400, "voice"),
        ({"voice": "/tmp/voice.npz"}, 400, "voice"),
        ({"voice": "trap.npz"}, 400, "voice"),
        ({"voice": ""}, 400, "voice"),
        ({"response_format": "ogg"}, 400, "response_format"),
        ({"speed": 0.1}, 400, "speed"),
        ({"speed": 5}, 400, "speed"),
        ({"stream_format": "json"}, 400, "stream_format"),
        ({"seed": -1}, 400, "seed"),
        ({"seed": "1"}, 400, "seed"),
        ({"top_k": 2**40}, 400, "top_k"),
        ({"temperature": 0}, 400, "temperature"),
        ({"min_eos_p": 2}, 400, "min_eos_p"),
        ({"sampling": "wild"}, 400, "sampling"),
        ({"history_prompt": "x"}, 400, "history_prompt"),
        ({"\ud800": "x"}, 400, None),
    ],
)
def test_what_cannot_be_is_refused(
    served: Running, bark: ScriptedBark, fields: dict[str, Any], status: int, param: str | None
) -> None:
    body = json.dumps({"input": "Hello", **fields})
    headers = {"content-type": "application/json"}
    response = served.http.post("/v1/audio/speech", content=body, headers=headers)
    error = refused(response, status)
    assert error["type"] == "invalid_request_error"
    if param is not None:
        assert error["param"] == param
    assert not bark.jobs


@pytest.mark.parametrize("body", ["", "{", "[]", "null", '{"input": NaN}', "[" * 50_000])
def test_what_is_no_object_is_refused(served: Running, body: str) -> None:
    headers = {"content-type": "application/json"}
    refused(served.http.post("/v1/audio/speech", content=body, headers=headers), 400)


def test_a_form_of_another_site_is_no_request(served: Running) -> None:
    body = json.dumps({"input": "Hello"})
    headers = {"content-type": "text/plain"}
    response = served.http.post("/v1/audio/speech", content=body, headers=headers)
    refused(response, 400, "content-type: application/json")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_long_is_refused(bark: ScriptedBark, chunked: bool) -> None:
    body = json.dumps({"input": "a" * 3000}).encode()
    headers = {"content-type": "application/json"}
    with running(lambda: bark, max_body_bytes=2000) as served:
        content = iter([body[:1000], body[1000:]]) if chunked else body
        response = served.http.post("/v1/audio/speech", content=content, headers=headers)
        refused(response, 413, "too long", "2000 bytes")


# What goes wrong later


def test_a_full_queue_says_when_to_come_again(bark: ScriptedBark) -> None:
    bark.room = 0
    with running(lambda: bark) as served:
        response = served.say()
        assert refused(response, 429)["code"] == "queue_full"
        assert int(response.headers["retry-after"]) >= 1


def test_a_request_that_has_begun_waits_for_room(bark: ScriptedBark) -> None:
    bark.answers, bark.room = False, 1
    with running(lambda: bark) as served, Background() as background:
        response = background(served.say, LONG, voice="alloy")
        for count in (1, 2, 3):
            bark.wait_for_jobs(count)[count - 1].end()
        assert response.result().status_code == 200


@pytest.mark.parametrize("error", [EngineError("secret words"), ZeroDivisionError("secret words")])
def test_a_failure_of_the_server_is_told_without_its_reason(
    served: Running, bark: ScriptedBark, error: Exception, lines: list[Any]
) -> None:
    bark.failure = error
    told = refused(served.say(), 500, "log")
    assert told["type"] == "server_error"
    assert "secret" not in told["message"]
    (failed,) = [line for line in lines if line.getMessage() == "failed"]
    assert failed.exc_info or "secret words" in failed.fields["error"]
    bark.failure = None
    assert served.say().status_code == 200


def test_a_failure_after_the_first_audio_is_an_event_or_a_cut(bark: ScriptedBark) -> None:
    bark.answers = False
    body = {"input": LONG, "response_format": "pcm", "voice": "alloy"}

    def fail_second() -> None:
        first, second, _ = bark.wait_for_jobs(3)[-3:]
        second.end(EngineError("It broke"))  # type: ignore[arg-type]
        first.end()

    with running(lambda: bark) as served, Background() as background:
        background(fail_second)
        response = served.http.post("/v1/audio/speech", json={**body, "stream_format": "sse"})
        delta, error = events(response.text)
        assert delta["type"] == "speech.audio.delta"
        assert (error["type"], error["error"]["type"]) == ("error", "server_error")
        assert bark.jobs[2].was_cancelled
        bark.jobs.clear()
        background(fail_second)
        with pytest.raises(httpx2.RemoteProtocolError):
            served.http.post("/v1/audio/speech", json=body)
        assert bark.jobs[2].was_cancelled


@pytest.mark.parametrize("has_begun", [False, True])
def test_a_client_that_goes_away_cancels_its_jobs(bark: ScriptedBark, has_begun: bool) -> None:
    bark.answers = False
    body = {"input": LONG, "response_format": "pcm", "voice": "alloy"}
    with running(lambda: bark) as served, Background() as background:
        if has_begun:
            background(lambda: bark.wait_for_jobs(3)[0].end())
            with served.http.stream("POST", "/v1/audio/speech", json=body) as response:
                next(response.iter_bytes())
        else:
            with pytest.raises(httpx2.ReadTimeout):
                served.http.post("/v1/audio/speech", json=body, timeout=0.5)
        for job in bark.wait_for_jobs(3)[int(has_begun) :]:
            assert job.ended.wait(10)
            assert job.was_cancelled
        wait_until(lambda: served.service.gate.count == 0)
        wait_until(lambda: 'outcome="cancelled"} 1.0' in served.http.get("/metrics").text)


def test_a_request_that_takes_too_long_is_given_up(bark: ScriptedBark) -> None:
    bark.answers = False
    with running(lambda: bark, request_seconds=0.3) as served:
        assert refused(served.say(LONG, voice="alloy"), 504, "0.3 s")["code"] == "timeout"
        assert all(job.was_cancelled for job in bark.jobs)
        wait_until(lambda: 'outcome="timeout"} 1.0' in served.http.get("/metrics").text)
