"""OpenAI's Python client with the random checkpoint's bundle; only the address differs."""

import io
import json
import typing
from collections.abc import Iterator
from typing import Any

import numpy as np
import openai
import pytest
import soundfile
from openai.types.audio import SpeechModel
from openai.types.audio.speech_create_params import Voice

from bark_onnx.runtime import Bark
from bark_onnx.runtime.server.aliases import OPENAI_VOICES
from tests.support.server_process import RunningServer

SHORT = {"semantic_max_new_tokens": 30}  # Bark's own settings go into extra_body
TWO_SEGMENTS = "One " + "word " * 20 + "end. Two " + "word " * 20 + "end."


@pytest.fixture
def client(random_server: RunningServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{random_server.url}/v1", api_key="any") as found:
        yield found


def test_client_receives_speech(client: openai.OpenAI) -> None:
    response = client.audio.speech.create(model="tts-1", voice="alloy", input="Hello")
    samples, rate = soundfile.read(io.BytesIO(response.content))
    assert rate == 24_000
    assert len(samples) > 24_000
    assert samples.std() > 0.01


def test_client_receives_the_samples_of_the_library(
    client: openai.OpenAI, random_bark: Bark
) -> None:
    response = client.audio.speech.create(
        model="tts-1",
        voice="v2/en_speaker_0",
        input="Hello",
        response_format="pcm",
        extra_body={"seed": 3, **SHORT},
    )
    expected = random_bark.speak("Hello", voice="v2/en_speaker_0", seed=3, **SHORT)
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


def literals(kind: Any) -> set[str]:
    """All strings that a type of the client lists."""
    if isinstance(kind, str):
        return {kind}
    return {name for part in typing.get_args(kind) for name in literals(part)}


def test_all_voices_and_models_of_the_client_are_known(client: openai.OpenAI) -> None:
    voices, models = literals(Voice), literals(SpeechModel)
    assert {"alloy", "marin", "cedar"} <= voices
    assert "gpt-4o-mini-tts-2025-12-15" in models
    assert voices <= {*OPENAI_VOICES}
    assert models <= {model.id for model in client.models.list()}
    for voice in sorted(voices):
        client.audio.speech.create(model="tts-1", voice=voice, input="x", extra_body=SHORT)


@pytest.mark.parametrize(
    "model", ["tts-1-1106", "tts-1-hd-1106", "gpt-4o-mini-tts-2025-03-20", "tts-1-2030-01-31"]
)
def test_dated_models_are_accepted(client: openai.OpenAI, model: str) -> None:
    client.audio.speech.create(model=model, voice="alloy", input="x", extra_body=SHORT)
    assert client.models.retrieve(model).id == model


@pytest.mark.parametrize("model", ["gpt-4o", "tts-1-", "tts-1-hd-11061", "tts-2", "tts-1-1106\n"])
def test_other_models_are_unknown(client: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.NotFoundError):
        client.audio.speech.create(model=model, voice="alloy", input="x", extra_body=SHORT)


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
