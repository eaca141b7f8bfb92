"""The OpenAPI document is complete, and holds for generated requests."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS, load_all_checks

from bark_onnx.runtime.server.app import create_app
from bark_onnx.runtime.server.service import SpeechService
from bark_onnx.runtime.server.settings import ServerSettings
from tests.support.scripted_bark import ScriptedBark
from tests.support.server_process import RunningServer, running_server

# The document cannot state the names of voices and models, nor that a text must not be blank, so
# that not every body it allows is accepted.
_EXCLUDED_CHECK = "positive_data_acceptance"
load_all_checks()
_CHECKS = [CHECKS.get_one(name) for name in CHECKS.get_all_names() if name != _EXCLUDED_CHECK]

schema = schemathesis.openapi.from_dict(
    create_app(SpeechService(ServerSettings(model_id="scripted"), ScriptedBark)).openapi()  # type: ignore[arg-type]
)


@pytest.fixture(scope="module")
def upload_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    bark = ScriptedBark()
    bark.seconds = 0.01
    folder = tmp_path_factory.mktemp("uploads")
    with running_server(lambda: bark, uploads=folder) as found:
        yield found


@pytest.fixture
def phases() -> Iterator[set[str]]:
    """Phases of schemathesis in which a test made its cases."""
    found: set[str] = set()
    yield found
    assert found >= {"coverage", "fuzzing"}


def _conformance_test(label: str) -> Callable[..., None]:
    """A test of one operation, whose explicit examples are the cases of the coverage phase."""

    def test(case: Any, upload_server: RunningServer, phases: set[str]) -> None:
        phases.add(case.meta.phase.name.value)
        case.call_and_validate(base_url=upload_server.url, checks=_CHECKS, timeout=30)

    examples = settings(
        max_examples=40,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    return schema.include(name=label).parametrize()(examples(test))


# One function for each operation: the ids of a parametrized one are equal, and pytest-xdist runs
# equal ids once.
_LABELS = [found.ok().label for found in schema.get_all_operations()]
for _label in _LABELS:
    _name = re.sub(r"\W+", "_", f"test_{_label}_conforms_to_the_document").lower()
    globals()[_name] = _conformance_test(_label)


def test_every_operation_has_a_test_of_its_own(
    server: RunningServer, request: pytest.FixtureRequest
) -> None:
    ids = [item.nodeid for item in request.session.items if item.path == request.path]
    assert len({*ids}) == len(ids)
    assert set(_LABELS) == {f"{method.upper()} {path}" for path, method, _ in operations(server)}


def operations(server: RunningServer) -> Iterator[tuple[str, str, dict[str, Any]]]:
    document = server.http.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_every_route_is_described(server: RunningServer) -> None:
    assert {(method, path) for path, method, _ in operations(server)} == {
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
    for path, _, operation in operations(server):
        assert operation["summary"], path
        assert operation["description"], path
        for status, response in operation["responses"].items():
            assert response["description"], path
            if int(status) >= 400:
                reference = response["content"]["application/json"]["schema"]["$ref"]
                assert reference == "#/components/schemas/ErrorBody"
            assert status != "422"


def test_every_field_of_a_request_is_described(bark: ScriptedBark) -> None:
    with running_server(lambda: bark, max_text_characters=123, api_key="secret") as server:
        document = server.http.get("/openapi.json").json()
        guarded = {path for path, _, operation in operations(server) if "security" in operation}
    fields = document["components"]["schemas"]["SpeechRequest"]["properties"]
    assert all(field.get("description") for field in fields.values())
    assert fields["input"]["maxLength"] == 123
    assert "ignored" in fields["instructions"]["description"]
    assert document["components"]["securitySchemes"] == {
        "key": {"type": "http", "scheme": "bearer"}
    }
    assert guarded == {path for path in document["paths"] if re.match("/v1/|/metrics", path)}


def test_document_lists_every_media_type(server: RunningServer) -> None:
    found = {path: operation for path, method, operation in operations(server) if method == "post"}
    content = found["/v1/audio/speech"]["responses"]["200"]["content"]
    media_types = {
        "audio/mpeg",
        *(f"audio/{name}" for name in ("opus", "aac", "flac", "wav", "pcm")),
    }
    assert set(content) == {*media_types, "text/event-stream"}
