"""POST /v1/audio/speech: formats, segments, settings, and errors."""

import base64
import dataclasses
import io
import json
import logging
import struct
import wave
from typing import Any

import av
import httpx2
import numpy as np
import pytest

from bark_onnx.graphs.errors import EngineError
from bark_onnx.runtime import GenerationOptions, Voice
from bark_onnx.runtime.audio.files.formats import RESPONSE_FORMATS
from bark_onnx.runtime.seeds import segment_seed
from bark_onnx.runtime.server.speech_request import BarkSettings
from tests.support.messages import assert_one_line
from tests.support.scripted_bark import RATE_HZ, SECONDS, ScriptedBark, tone
from tests.support.server_process import Background, RunningServer, running_server, wait_until

# Three segments: each sentence has more than half of the words that fit into one.
LONG = " ".join(f"{name} {'word ' * 29}end." for name in ("One", "Two", "Three"))
SILENCE_SECONDS = 0.25  # between two segments
LONG_SECONDS = 3 * SECONDS + 2 * SILENCE_SECONDS


def decoded(data: bytes) -> tuple[np.ndarray[Any, Any], int]:
    """Samples, float (n,), and their rate."""
    with av.open(io.BytesIO(data)) as file:
        resampler = av.AudioResampler(format="flt", layout="mono")
        frames = [part for frame in file.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]), frames[0].sample_rate


def peak(samples: np.ndarray[Any, Any], rate: int, seconds: float) -> float:
    """Level of the loudest sample in 0.1 s around a moment."""
    start = round((seconds - 0.05) * rate)
    return float(np.abs(samples[start : start + rate // 10]).max())


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


@pytest.mark.parametrize("name", RESPONSE_FORMATS)
@pytest.mark.parametrize("stream_format", [None, "audio"])
def test_every_format_contains_the_speech(
    server: RunningServer, name: str, stream_format: str | None
) -> None:
    response = server.speak(LONG, response_format=name, stream_format=stream_format)
    assert response.status_code == 200
    assert response.headers["content-type"] == f"audio/{'mpeg' if name == 'mp3' else name}"
    if name == "pcm":
        samples, rate = np.frombuffer(response.content, "<i2") / 32767, RATE_HZ
    else:
        samples, rate = decoded(response.content)
    assert rate == (48_000 if name == "opus" else RATE_HZ)
    assert len(samples) / rate == pytest.approx(LONG_SECONDS, abs=0.1)
    # Lossy formats overshoot where a tone begins and ends.
    for number in range(3):
        start = number * (SECONDS + SILENCE_SECONDS)
        assert peak(samples, rate, start + SECONDS / 2) == pytest.approx(0.5, abs=0.1)
        if number < 2:
            assert peak(samples, rate, start + SECONDS + SILENCE_SECONDS / 2) < 0.05


def test_default_format_is_mp3(server: RunningServer) -> None:
    assert server.speak().headers["content-type"] == "audio/mpeg"


def test_wav_header_states_the_length_unless_streamed(server: RunningServer) -> None:
    whole = server.speak(LONG, response_format="wav")
    assert int(whole.headers["content-length"]) == len(whole.content)
    with wave.open(io.BytesIO(whole.content)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
        assert file.getnframes() == round(LONG_SECONDS * RATE_HZ)
    streamed = server.speak(LONG, response_format="wav", stream_format="audio")
    assert streamed.headers["transfer-encoding"] == "chunked"
    assert struct.unpack_from("<I", streamed.content, 4) == (0xFFFFFFFF,)
    assert struct.unpack_from("<I", streamed.content, 40) == (0xFFFFFFFF,)
    assert streamed.content[44:] == whole.content[44:]


@pytest.mark.parametrize("name", RESPONSE_FORMATS)
def test_speech_without_samples_is_a_valid_file(
    server: RunningServer, bark: ScriptedBark, name: str
) -> None:
    bark.seconds = 0
    data = server.speak(response_format=name).content
    if name == "pcm":
        assert data == b""
    elif name == "wav":
        assert len(data) == 44
    else:
        samples, rate = decoded(data)
        assert 0 < len(samples) / rate < 0.25
        assert np.abs(samples).max() < 0.01


@pytest.mark.parametrize("speed", [0.25, 0.5, 2, 4])
def test_speed_changes_the_duration(server: RunningServer, speed: float) -> None:
    response = server.speak(LONG, response_format="pcm", speed=speed)
    seconds = len(response.content) / 2 / RATE_HZ
    assert seconds == pytest.approx(LONG_SECONDS / speed, rel=0.1)


# Segments


def test_segments_are_generated_in_parallel_and_sent_in_order(bark: ScriptedBark) -> None:
    bark.completes = False
    body = {"input": LONG, "response_format": "pcm", "voice": "alloy", "seed": 7}
    with running_server(lambda: bark, concurrency=2) as server, Background() as background:
        response = background(server.http.post, "/v1/audio/speech", json=body)
        first, second = bark.wait_for_futures(2)
        second.finish()
        assert len(bark.futures) == 2
        first.finish()
        third = bark.wait_for_futures(3)[2]
        third.finish()
        content = response.result().content
    texts = [future.text for future in bark.futures]
    assert " ".join(texts) == LONG
    assert [future.seed for future in bark.futures] == [7, segment_seed(7, 1), segment_seed(7, 2)]
    assert len({future.seed for future in bark.futures}) == 3
    assert {future.voice.name for future in bark.futures} == {"v2/en_speaker_6"}
    assert len({id(future.voice) for future in bark.futures}) == 1  # loaded once
    silence = np.zeros(round(SILENCE_SECONDS * RATE_HZ))
    parts = [tone(text, 0).samples for text in texts]
    expected = np.concatenate([parts[0], silence, parts[1], silence, parts[2]])
    found = np.frombuffer(content, "<i2")
    np.testing.assert_allclose(found, expected * 32768, atol=1)


def test_segment_is_sent_while_the_next_is_generated(bark: ScriptedBark) -> None:
    bark.completes = False
    body = {"input": LONG, "response_format": "pcm", "voice": "alloy"}
    with running_server(lambda: bark) as server, Background() as background:
        background(lambda: bark.wait_for_futures(3)[0].finish())
        with server.http.stream("POST", "/v1/audio/speech", json=body) as response:
            chunks = response.iter_bytes()
            assert len(next(chunks)) == 2 * round(SECONDS * RATE_HZ)
            assert [future.done() for future in bark.futures] == [True, False, False]
            for future in bark.futures[1:]:
                future.finish()
            assert sum(map(len, chunks)) == 2 * round((LONG_SECONDS - SECONDS) * RATE_HZ)


def test_segments_without_a_voice_continue_with_that_of_the_first(bark: ScriptedBark) -> None:
    bark.completes = False
    with running_server(lambda: bark) as server, Background() as background:
        response = background(server.speak, LONG)
        bark.wait_for_futures(1)[0].finish(tone("", 0, seconds=0))
        bark.wait_for_futures(2)[1].finish()
        bark.wait_for_futures(3)[2].finish()
        assert response.result().status_code == 200
    voices = [future.voice for future in bark.futures]
    assert voices[:2] == [None, None]
    assert isinstance(voices[2], Voice)


def test_events_contain_the_same_bytes_followed_by_the_usage(server: RunningServer) -> None:
    plain = server.speak(LONG, response_format="pcm", seed=1).content
    response = server.speak(LONG, response_format="pcm", seed=1, stream_format="sse")
    assert response.headers["content-type"].startswith("text/event-stream")
    *deltas, done = events(response.text)
    assert [event["type"] for event in deltas] == ["speech.audio.delta"] * 3
    assert b"".join(base64.b64decode(event["audio"]) for event in deltas) == plain
    input_tokens, output_tokens = len(LONG.split()), 3 * round(SECONDS * 50)
    assert done["type"] == "speech.audio.done"
    assert done["usage"] == {
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
    }


# Settings


def test_every_generation_option_is_a_field_of_the_request() -> None:
    names = {field.name for field in dataclasses.fields(GenerationOptions)}
    assert set(BarkSettings.model_fields) == names | {"temperature", "top_k", "top_p", "do_sample"}


def test_generation_settings_reach_the_engine(server: RunningServer, bark: ScriptedBark) -> None:
    settings = {
        "temperature": 0.9,
        "semantic_temperature": 0.6,
        "coarse_top_k": 10,
        "semantic_top_p": 0.5,
        "min_eos_p": 0.05,
        "semantic_max_new_tokens": 99,
        "fine_do_sample": False,
    }
    assert server.speak(**settings, seed=5).headers["x-bark-seed"] == "5"
    assert bark.futures[0].options == GenerationOptions().replace(**settings)
    assert bark.futures[0].seed == 5
    server.speak(sampling="greedy", semantic_do_sample=True)
    assert bark.futures[1].options == GenerationOptions.greedy().replace(semantic_do_sample=True)
    server.speak(sampling="suno", min_eos_p_warped=False)
    assert bark.futures[2].options == GenerationOptions.suno().replace(min_eos_p_warped=False)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("semantic_top_k", "1564.0", 1564),
        ("coarse_top_k", "1e2", 100),
        ("semantic_max_new_tokens", "30.0", 30),
    ],
)
def test_number_without_a_fraction_is_an_integer(
    server: RunningServer, bark: ScriptedBark, name: str, text: str, expected: int
) -> None:
    response = server.http.post(
        "/v1/audio/speech",
        content=f'{{"input": "Hello", "{name}": {text}, "seed": 7.0, "attempts": 2.0}}',
        headers={"content-type": "application/json"},
    )
    assert response.status_code == 200, response.text
    found = getattr(bark.futures[0].options, name)
    assert (found, type(found)) == (expected, int)
    assert bark.plans[0].seed == 7
    assert bark.plans[0].stream.attempts == 2


@pytest.mark.parametrize("name", ["semantic_top_k", "seed", "attempts", "semantic_max_new_tokens"])
@pytest.mark.parametrize("text", ["1.5", '"1"', "true", "1e400", "-1.0", "1e30", "[1.0]"])
def test_other_values_of_an_integer_are_refused(
    server: RunningServer, name: str, text: str
) -> None:
    response = server.http.post(
        "/v1/audio/speech",
        content=f'{{"input": "Hello", "{name}": {text}}}',
        headers={"content-type": "application/json"},
    )
    assert refused(response, 400)["param"] == name


@pytest.mark.parametrize("speed", [1.0, 1.7])
@pytest.mark.parametrize("stream_format", [None, "audio"])
@pytest.mark.parametrize("name", RESPONSE_FORMATS)
def test_a_seed_gives_the_same_bytes_again(
    server: RunningServer, name: str, stream_format: str | None, speed: float
) -> None:
    settings = {"response_format": name, "stream_format": stream_format, "speed": speed}
    first, second = (server.speak(LONG, seed=7, **settings).content for _ in range(2))
    assert len(first) > 1000
    assert first == second


def test_random_seed_is_returned_when_none_is_given(
    server: RunningServer, bark: ScriptedBark
) -> None:
    seeds = [server.speak().headers["x-bark-seed"] for _ in range(2)]
    assert [str(future.seed) for future in bark.futures] == seeds
    assert seeds[0] != seeds[1]


def test_instructions_are_ignored(server: RunningServer, bark: ScriptedBark) -> None:
    server.speak(seed=1)
    assert server.speak(seed=1, instructions="Whisper!").status_code == 200
    first, second = bark.futures
    assert (first.text, first.options) == (second.text, second.options)


@pytest.mark.parametrize("model", ["scripted", "tts-1", "tts-1-hd", "gpt-4o-mini-tts", None])
def test_all_names_of_the_model_are_accepted(server: RunningServer, model: str | None) -> None:
    assert server.speak(model=model).status_code == 200


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"input": ""}, 400, "input"),
        ({"input": " \n"}, 400, "input"),
        ({"input": 5}, 400, "input"),
        ({"input": "a" * 4097}, 400, "input"),
        ({"model": "whisper-1"}, 404, "model"),
        ({"voice": "unknown"}, 400, "voice"),
        ({"voice": {"id": "unknown"}}, 400, "voice"),
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
def test_invalid_fields_are_refused(
    server: RunningServer,
    bark: ScriptedBark,
    fields: dict[str, Any],
    status: int,
    param: str | None,
) -> None:
    body = json.dumps({"input": "Hello", **fields})
    headers = {"content-type": "application/json"}
    response = server.http.post("/v1/audio/speech", content=body, headers=headers)
    error = refused(response, status)
    assert error["type"] == "invalid_request_error"
    if param is not None:
        assert error["param"] == param
    assert not bark.futures


@pytest.mark.parametrize("body", ["", "{", "[]", "null", '{"input": NaN}', "[" * 50_000])
def test_bodies_that_are_not_objects_are_refused(server: RunningServer, body: str) -> None:
    headers = {"content-type": "application/json"}
    refused(server.http.post("/v1/audio/speech", content=body, headers=headers), 400)


def test_content_type_other_than_json_is_refused(server: RunningServer) -> None:
    body = json.dumps({"input": "Hello"})
    headers = {"content-type": "text/plain"}
    response = server.http.post("/v1/audio/speech", content=body, headers=headers)
    refused(response, 400, "content-type: application/json")


@pytest.mark.parametrize("chunked", [False, True])
def test_body_over_the_limit_is_refused(bark: ScriptedBark, chunked: bool) -> None:
    body = json.dumps({"input": "a" * 3000}).encode()
    headers = {"content-type": "application/json"}
    with running_server(lambda: bark, max_body_bytes=2000) as server:
        content = iter([body[:1000], body[1000:]]) if chunked else body
        response = server.http.post("/v1/audio/speech", content=content, headers=headers)
        refused(response, 413, "too long", "2000 bytes")


# Errors


def test_full_queue_gets_a_429_with_a_retry_time(bark: ScriptedBark) -> None:
    bark.max_queue = 0
    with running_server(lambda: bark) as server:
        response = server.speak()
        assert refused(response, 429)["code"] == "queue_full"
        assert int(response.headers["retry-after"]) >= 1


def test_started_request_waits_for_the_queue(bark: ScriptedBark) -> None:
    bark.completes, bark.max_queue = False, 1
    with running_server(lambda: bark) as server, Background() as background:
        response = background(server.speak, LONG, voice="alloy")
        for count in (1, 2, 3):
            bark.wait_for_futures(count)[count - 1].finish()
        assert response.result().status_code == 200


@pytest.mark.parametrize("error", [EngineError("secret words"), ZeroDivisionError("secret words")])
def test_server_errors_do_not_reveal_their_cause(
    server: RunningServer,
    bark: ScriptedBark,
    error: Exception,
    log_records: list[logging.LogRecord],
) -> None:
    bark.failure = error
    found = refused(server.speak(), 500, "log")
    assert found["type"] == "server_error"
    assert "secret" not in found["message"]
    (failed,) = [record for record in log_records if record.getMessage() == "failed"]
    assert failed.exc_info or "secret words" in failed.fields["error"]  # type: ignore[attr-defined]
    bark.failure = None
    assert server.speak().status_code == 200


def test_error_after_the_first_audio_is_an_event_or_a_disconnect(bark: ScriptedBark) -> None:
    bark.completes = False
    body = {"input": LONG, "response_format": "pcm", "voice": "alloy"}

    def fail_second() -> None:
        first, second, _ = bark.wait_for_futures(3)[-3:]
        second.finish(EngineError("It broke"))
        first.finish()

    with running_server(lambda: bark) as server, Background() as background:
        background(fail_second)
        response = server.http.post("/v1/audio/speech", json={**body, "stream_format": "sse"})
        delta, error = events(response.text)
        assert delta["type"] == "speech.audio.delta"
        assert (error["type"], error["error"]["type"]) == ("error", "server_error")
        wait_until(bark.futures[2].cancelled)
        bark.futures.clear()
        background(fail_second)
        with pytest.raises(httpx2.RemoteProtocolError):
            server.http.post("/v1/audio/speech", json=body)
        wait_until(bark.futures[2].cancelled)


@pytest.mark.parametrize("has_started", [False, True])
def test_disconnect_cancels_the_segments(bark: ScriptedBark, has_started: bool) -> None:
    bark.completes = False
    body = {"input": LONG, "response_format": "pcm", "voice": "alloy"}
    with running_server(lambda: bark) as server, Background() as background:
        if has_started:
            background(lambda: bark.wait_for_futures(3)[0].finish())
            with server.http.stream("POST", "/v1/audio/speech", json=body) as response:
                next(response.iter_bytes())
        else:
            with pytest.raises(httpx2.ReadTimeout):
                server.http.post("/v1/audio/speech", json=body, timeout=0.5)
        for future in bark.wait_for_futures(3)[int(has_started) :]:
            wait_until(future.cancelled)
        wait_until(lambda: server.service.admission.running == 0)
        wait_until(lambda: 'outcome="cancelled"} 1.0' in server.http.get("/metrics").text)


def test_request_over_the_time_limit_is_cancelled(bark: ScriptedBark) -> None:
    bark.completes = False
    with running_server(lambda: bark, request_seconds=0.3) as server:
        assert refused(server.speak(LONG, voice="alloy"), 504, "0.3 s")["code"] == "timeout"
        wait_until(lambda: all(future.cancelled() for future in bark.futures))
        wait_until(lambda: 'outcome="timeout"} 1.0' in server.http.get("/metrics").text)
