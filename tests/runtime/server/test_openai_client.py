"""OpenAI's Python client with the demo bundle; only the address differs."""

import io
import json
from collections.abc import Iterator

import numpy as np
import openai
import pytest
import soundfile

from bark_onnx.runtime import Bark
from tests.support.server_process import RunningServer

SHORT = {"semantic_max_new_tokens": 30}  # Bark's own settings go into extra_body
TWO_SEGMENTS = "One " + "word " * 20 + "end. Two " + "word " * 20 + "end."


@pytest.fixture
def client(demo_server: RunningServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{demo_server.url}/v1", api_key="any") as found:
        yield found


def test_client_receives_speech(client: openai.OpenAI) -> None:
    response = client.audio.speech.create(model="tts-1", voice="alloy", input="Hello")
    samples, rate = soundfile.read(io.BytesIO(response.content))
    assert rate == 24_000
    assert len(samples) > 24_000
    assert samples.std() > 0.01


def test_client_receives_the_samples_of_the_library(client: openai.OpenAI, demo: Bark) -> None:
    response = client.audio.speech.create(
        model="tts-1",
        voice="v2/en_speaker_0",
        input="Hello",
        response_format="pcm",
        extra_body={"seed": 3, **SHORT},
    )
    expected = demo.speak("Hello", voice="v2/en_speaker_0", seed=3, **SHORT)
    found = np.frombuffer(response.content, "<i2")
    np.testing.assert_allclose(found / 32767, np.clip(expected.samples, -1, 1), atol=1e-4)


def test_client_streams_audio(client: openai.OpenAI) -> None:
    with client.audio.speech.with_streaming_response.create(
        model="gpt-4o-mini-tts",
        voice="nova",
        input=TWO_SEGMENTS,
        instructions="Speak cheerfully",
        response_format="pcm",
        extra_body=SHORT,
    ) as response:
        assert response.headers["transfer-encoding"] == "chunked"
        assert sum(map(len, response.iter_bytes())) > 24_000


def test_client_streams_events(client: openai.OpenAI) -> None:
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="echo", input=TWO_SEGMENTS, stream_format="sse", extra_body=SHORT
    ) as response:
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if "data: " in line]
    kinds = [json.loads(line)["type"] for line in lines]
    assert kinds[-1] == "speech.audio.done"
    assert kinds.count("speech.audio.delta") >= 2


def test_client_lists_models(client: openai.OpenAI) -> None:
    models = client.models.list().data
    assert {"tts-1", "tts-1-hd", "gpt-4o-mini-tts"} < {model.id for model in models}
    assert client.models.retrieve(models[0].id) == models[0]


def test_errors_become_exceptions_of_the_client(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.audio.speech.create(model="tts-1", voice="unknown", input="Hello")
    assert caught.value.param == "voice"
    assert caught.value.code == "voice_not_found"
    with pytest.raises(openai.NotFoundError):
        client.audio.speech.create(model="whisper-1", voice="alloy", input="Hello")
