"""The OpenAPI document: complete, and true under requests that nobody would think of."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS, load_all_checks

from bark_onnx.runtime.server.app import create_app
from bark_onnx.runtime.server.service import SpeechService
from bark_onnx.runtime.server.settings import ServerSettings
from tests.runtime.server.conftest import Running, running
from tests.support.scripted_bark import ScriptedBark

# Not asked: whether every body that the document allows is taken. It cannot say which voices and
# models there are, nor that a text must hold more than white space.
_NOT_ASKED = "positive_data_acceptance"
load_all_checks()
_CHECKS = [CHECKS.get_one(name) for name in CHECKS.get_all_names() if name != _NOT_ASKED]

schema = schemathesis.openapi.from_dict(
    create_app(SpeechService(ServerSettings(model_id="scripted"), ScriptedBark)).openapi()  # type: ignore[arg-type]
)


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    bark = ScriptedBark()
    bark.seconds = 0.01
    folder = tmp_path_factory.mktemp("uploads")
    with running(lambda: bark, uploads=folder) as found:
        yield found


@schema.parametrize()
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_the_server_does_what_the_document_says(case: Any, open_server: Running) -> None:
    case.call_and_validate(base_url=open_server.url, checks=_CHECKS, timeout=30)


def operations(served: Running) -> Iterator[tuple[str, str, dict[str, Any]]]:
    document = served.http.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_every_address_is_described(served: Running) -> None:
    assert {(method, path) for path, method, _ in operations(served)} == {
        ("get", "/"),
        ("get", "/health"),
        ("get", "/metrics"),
        ("get", "/ready"),
        ("get", "/v1/audio/voices"),
        ("post", "/v1/audio/voices"),
        ("delete", "/v1/audio/voices/{voice_id}"),
        ("post", "/v1/audio/speech"),
        ("get", "/v1/models"),
        ("get", "/v1/models/{model_id}"),
    }
    for path, _, operation in operations(served):
        assert operation["summary"], path
        assert operation["description"], path
        for status, response in operation["responses"].items():
            assert response["description"], path
            if int(status) >= 400:
                reference = response["content"]["application/json"]["schema"]["$ref"]
                assert reference == "#/components/schemas/ErrorBody"
            assert status != "422"


def test_every_field_of_a_request_is_explained(bark: ScriptedBark) -> None:
    with running(lambda: bark, max_text_characters=123, api_key="secret") as served:
        document = served.http.get("/openapi.json").json()
        guarded = {path for path, _, operation in operations(served) if "security" in operation}
    fields = document["components"]["schemas"]["SpeechRequest"]["properties"]
    assert all(field.get("description") for field in fields.values())
    assert fields["input"]["maxLength"] == 123
    assert "ignored" in fields["instructions"]["description"]
    assert document["components"]["securitySchemes"] == {
        "key": {"type": "http", "scheme": "bearer"}
    }
    assert guarded == {path for path in document["paths"] if re.match("/v1/|/metrics", path)}


def test_the_document_names_every_form_of_sound(served: Running) -> None:
    found = {path: operation for path, method, operation in operations(served) if method == "post"}
    content = found["/v1/audio/speech"]["responses"]["200"]["content"]
    sounds = {"audio/mpeg", *(f"audio/{name}" for name in ("opus", "aac", "flac", "wav", "pcm"))}
    assert set(content) == {*sounds, "text/event-stream"}
