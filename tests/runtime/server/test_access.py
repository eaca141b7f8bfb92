"""Requests with a foreign Host or Origin are refused: what pages of other sites can send."""

import asyncio
from typing import Any

import httpx2
import pytest
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from bark_onnx.graphs.errors import OptionsError
from bark_onnx.runtime.server.access import HostRule, check_origin
from bark_onnx.runtime.server.api_keys import ApiKeys
from bark_onnx.runtime.server.errors import ApiError, json_response
from bark_onnx.runtime.server.metrics import Metrics
from bark_onnx.runtime.server.middleware import RequestMiddleware
from bark_onnx.runtime.server.readiness import Readiness
from bark_onnx.runtime.server.settings import ServerSettings
from tests.runtime.server.test_speech import refused
from tests.support.messages import assert_one_line
from tests.support.scripted_bark import ScriptedBark
from tests.support.server_process import RunningServer, running_server

SPEECH, VOICES = "/v1/audio/speech", "/v1/audio/voices"


def accepts(rule: HostRule, host: str | None) -> bool:
    try:
        rule.check(Headers({} if host is None else {"host": host}))
    except ApiError:
        return False
    return True


LOOPBACK = ["localhost", "LOCALHOST:8000", "localhost.", "127.0.0.1:8000", "127.9.9.9", "[::1]:80"]
ADDRESSES = ["192.168.1.5:8000", "10.0.0.1", "[fe80::1]:8000", "0.0.0.0:8000"]
FOREIGN = ["attacker.example", "attacker.example:8000", "localhost.attacker.example", "", ":8000"]
FOREIGN += ["127.0.0.1.attacker.example", "a@localhost", "localhost/x", "localhost:80:80", "[::1"]
FOREIGN += ["2130706433", "0x7f.1", "127.1", "localhost:x", "lo calhost", "bark.example\x00"]


@pytest.mark.parametrize("bound", ["127.0.0.1", "localhost", "::1", "0.0.0.0", "::", "10.0.0.1"])
def test_only_names_of_this_server_are_accepted(bound: str) -> None:
    rule = HostRule(bound, ())
    assert [host for host in LOOPBACK if not accepts(rule, host)] == []
    assert [host for host in FOREIGN if accepts(rule, host)] == []
    listens_to_itself = bound in ("127.0.0.1", "localhost", "::1")
    assert [accepts(rule, host) for host in ADDRESSES] == [not listens_to_itself] * len(ADDRESSES)
    assert accepts(rule, None), "HTTP/1.0 without a host is no browser"


def test_the_name_to_listen_on_and_allowed_names_are_accepted() -> None:
    rule = HostRule("Machine.lan", ("bark.example",))
    for host in ("machine.lan:8000", "bark.example", "BARK.example:443", "192.168.1.5"):
        assert accepts(rule, host)
    assert not accepts(rule, "other.bark.example")
    assert [host for host in FOREIGN if not accepts(HostRule("127.0.0.1", ("*",)), host)] == []


@pytest.mark.parametrize("name", ["https://bark.example", "bark.example:443", "", "*.example"])
def test_allowed_host_that_is_no_name_is_a_one_line_error(name: str) -> None:
    with pytest.raises(OptionsError) as caught:
        ServerSettings(model_id="x", allowed_hosts=(name,))
    assert_one_line(caught.value, "allowed_hosts", repr(name), "expected a name")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/page/page.js"),
        ("GET", "/openapi.json"),
        ("GET", "/metrics"),
        ("GET", "/v1/models"),
        ("GET", VOICES),
        ("DELETE", f"{VOICES}/me"),
        ("POST", VOICES),
        ("POST", SPEECH),
    ],
)
def test_rebound_name_reaches_nothing(
    server: RunningServer, bark: ScriptedBark, method: str, path: str
) -> None:
    host = "attacker.example:8000"
    headers = {"host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}
    body = {"input": "Hello"} if path == SPEECH else None
    response = server.http.request(method, path, headers=headers, json=body)
    assert (
        refused(response, 421, "attacker.example", "--allowed-host")["code"] == "host_not_allowed"
    )
    assert response.headers["x-content-type-options"] == "nosniff"
    assert bark.futures == []


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_probes_are_answered_under_any_name(server: RunningServer, path: str) -> None:
    assert server.http.get(path, headers={"host": "pod-7.cluster"}).status_code == 200


def test_server_behind_a_proxy_has_another_name(bark: ScriptedBark) -> None:
    headers = {"host": "bark.example", "origin": "https://bark.example"}
    body = {"input": "Hello"}
    with running_server(lambda: bark, allowed_hosts=("bark.example",)) as server:
        assert server.http.post(SPEECH, json=body, headers=headers).status_code == 200
        other = {**headers, "origin": "https://bark.example:8443"}
        refused(server.http.post(SPEECH, json=body, headers=other), 403, "8443")


# Origins

OWN = {"host": "127.0.0.1:8000"}


@pytest.mark.parametrize(
    "sent",
    [
        {},  # not a browser
        {"origin": "http://127.0.0.1:8000"},
        {"origin": "HTTP://127.0.0.1:8000", "sec-fetch-site": "same-origin"},
        {"origin": "https://127.0.0.1:8000"},  # a proxy terminates TLS
        {"sec-fetch-site": "none"},
        {"origin": "https://allowed.example", "sec-fetch-site": "cross-site"},
    ],
)
def test_own_and_allowed_origins_are_accepted(sent: dict[str, str]) -> None:
    check_origin(Headers({**OWN, **sent}), ["https://allowed.example"])


@pytest.mark.parametrize(
    "sent",
    [
        {"origin": "http://127.0.0.1:3000"},
        {"origin": "http://localhost:8000"},
        {"origin": "http://127.0.0.1"},
        {"origin": "https://evil.example"},
        {"origin": "https://allowed.example.evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "chrome-extension://127.0.0.1:8000"},
        {"origin": "http://127.0.0.1:3000", "sec-fetch-site": "same-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "CROSS-SITE"},
    ],
)
def test_other_origins_are_refused(sent: dict[str, str]) -> None:
    headers = Headers({**OWN, **sent})
    with pytest.raises(ApiError) as caught:
        check_origin(headers, ["https://allowed.example"])
    assert caught.value.status == 403
    assert_one_line(caught.value, "--cors-origin")
    check_origin(headers, ["*"])


@pytest.mark.parametrize("origin", ["http://localhost:3000", "https://evil.example", "null"])
def test_page_of_another_origin_changes_nothing(
    server: RunningServer, bark: ScriptedBark, origin: str
) -> None:
    headers = {"origin": origin}  # of a browser without Sec-Fetch-Site
    form: dict[str, Any] = {"data": {"name": "me"}, "files": {"file": b"x"}}
    for response in (
        server.http.post(VOICES, headers=headers, **form),
        server.http.delete(f"{VOICES}/me", headers=headers),
        server.http.post(SPEECH, headers=headers, json={"input": "Hello"}),
    ):
        assert refused(response, 403, origin)["code"] == "origin_not_allowed"
    assert bark.futures == []


async def accept_everything(scope: Scope, receive: Receive, send: Send) -> None:
    await json_response({"accepted": scope["path"]})(scope, receive, send)


@pytest.mark.parametrize("path", [SPEECH, VOICES, f"{SPEECH}/"])
@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "application/x-www-form-urlencoded", "application/"]
)
def test_content_types_do_not_hang_on_the_framework(path: str, content_type: str | None) -> None:
    """An application that accepts everything stands for a FastAPI with other defaults."""
    asyncio.run(_post(path, content_type))


async def _post(path: str, content_type: str | None) -> None:
    app = RequestMiddleware(
        accept_everything,
        settings=ServerSettings(model_id="x"),
        hosts=HostRule("127.0.0.1", ()),
        keys=ApiKeys(None, None),
        metrics=Metrics(),
        readiness=Readiness(lambda: None),
    )
    expected = {SPEECH: "application/json", VOICES: "multipart/form-data"}[path.rstrip("/")]
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
        headers = {} if content_type is None else {"content-type": content_type}
        response = await http.post(path, content=b'{"input": "Hello"}', headers=headers)
        refused(response, 400, expected)
        right = {"content-type": f"{expected.upper()}; charset=utf-8"}
        assert (await http.post(path, content=b"", headers=right)).status_code == 200
