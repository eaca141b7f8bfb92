"""Running the server: who may ask, how it is, what it logs, how it starts and stops."""

import json
import logging
import socket
import threading
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bark_onnx.graphs.errors import BarkError, BundleError, OptionsError, ServerError
from bark_onnx.runtime.server.logs import JsonLines, log_warnings
from bark_onnx.runtime.server.server import open_socket
from bark_onnx.runtime.server.settings import ServerSettings
from tests.runtime.server.conftest import WAIT_SECONDS, Background, Running, running, wait_until
from tests.runtime.server.test_speech import LONG, refused
from tests.support.messages import assert_one_line
from tests.support.scripted_bark import SECONDS, ScriptedBark

KEY = "secret-key"
ORIGIN = "https://example.org"


# Who may ask


@pytest.mark.parametrize("given", [None, "Bearer wrong", "Basic secret-key", "secret-key", "é"])
def test_with_a_key_nobody_asks_without_it(bark: ScriptedBark, given: str | None) -> None:
    with running(lambda: bark, api_key=KEY) as served:
        headers = {} if given is None else {"authorization": given.encode()}
        for method, path in (
            ("POST", "/v1/audio/speech"),
            ("GET", "/v1/models"),
            ("GET", "/v1/audio/voices"),
            ("POST", "/v1/audio/voices"),
            ("DELETE", "/v1/audio/voices/me"),
            ("GET", "/metrics"),
        ):
            response = served.http.request(method, path, headers=headers)
            error = refused(response, 401, "Authorization: Bearer KEY")
            assert error["type"] == "authentication_error"
            assert response.headers["www-authenticate"] == "Bearer"
        for path in ("/", "/health", "/ready", "/page/page.js", "/openapi.json"):
            assert served.http.get(path).status_code == 200
        right = {"authorization": f"Bearer {KEY}"}
        assert served.http.get("/v1/models", headers=right).status_code == 200


def test_pages_of_other_sites_may_not_ask(served: Running) -> None:
    headers = {"origin": ORIGIN, "sec-fetch-site": "cross-site"}
    response = served.http.get("/v1/models", headers=headers)
    refused(response, 403, "--cors-origin")
    preflight = {**headers, "access-control-request-method": "POST"}
    response = served.http.options("/v1/audio/speech", headers=preflight)
    assert not any(name.startswith("access-control") for name in response.headers)


def test_pages_of_a_site_that_was_named_may_ask(bark: ScriptedBark) -> None:
    headers = {"origin": ORIGIN, "sec-fetch-site": "cross-site"}
    with running(lambda: bark, cors_origins=(ORIGIN,), api_key=KEY) as served:
        preflight = {
            **headers,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,content-type",
        }
        response = served.http.options("/v1/audio/speech", headers=preflight)
        assert response.headers["access-control-allow-origin"] == ORIGIN
        allowed = {**headers, "authorization": f"Bearer {KEY}"}
        response = served.http.get("/v1/models", headers=allowed)
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == ORIGIN
        # Without the key, a page still reads why.
        response = served.http.get("/v1/models", headers=headers)
        refused(response, 401)
        assert response.headers["access-control-allow-origin"] == ORIGIN
        other = {**headers, "origin": "https://example.com"}
        refused(served.http.get("/v1/models", headers=other), 403)


# How it is


def test_it_is_alive_at_once_and_ready_when_it_has_spoken(bark: ScriptedBark) -> None:
    may_load = threading.Event()

    def load() -> ScriptedBark:
        assert may_load.wait(WAIT_SECONDS)
        return bark

    with running(load, waits=False) as served:
        assert served.http.get("/health").json() == {"status": "ok"}
        response = served.http.get("/ready")
        assert refused(response, 503)["code"] == "not_ready"
        assert int(response.headers["retry-after"]) >= 1
        assert refused(served.say(), 503)["code"] == "not_ready"
        refused(served.http.get("/v1/audio/voices"), 503)
        assert served.http.get("/v1/models").status_code == 200
        assert bark.spoken == []
        may_load.set()
        wait_until(lambda: served.http.get("/ready").json() == {"status": "ready"})
        assert len(bark.spoken) == 1
    assert bark.is_closed


def test_the_warm_up_can_be_left_out(bark: ScriptedBark) -> None:
    with running(lambda: bark, warms_up=False):
        assert bark.spoken == []


@pytest.mark.parametrize("error", [BundleError("No bundle"), OptionsError("Bad alias")])
def test_a_bundle_that_cannot_be_loaded_ends_the_server(error: BarkError) -> None:
    def load() -> Any:
        raise error

    with running(load, waits=False) as served:
        served.thread.join(WAIT_SECONDS)
        assert not served.thread.is_alive()
        assert served.service.failure is error


def test_a_bad_alias_ends_the_server_and_closes_the_bundle(bark: ScriptedBark) -> None:
    with running(lambda: bark, waits=False, aliases={"a": "nobody"}) as served:
        served.thread.join(WAIT_SECONDS)
        assert_one_line(served.service.failure, "'nobody'")
    assert bark.is_closed


def metric(served: Running, name: str) -> float:
    lines = served.http.get("/metrics").text.splitlines()
    found = [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name} ")]
    return found[0] if found else 0.0


def test_metrics_tell_what_happened(bark: ScriptedBark) -> None:
    with running(lambda: bark) as served:
        assert served.say(LONG, response_format="pcm").status_code == 200
        assert served.say(voice="nobody").status_code == 400
        assert served.say(seed="x").status_code == 400
        bark.room = 0
        assert served.say().status_code == 429
        seconds = 3 * SECONDS + 2 * 0.25
        for name, value in {
            'bark_requests_total{outcome="ok"}': 1,
            'bark_requests_total{outcome="invalid"}': 2,
            'bark_requests_total{outcome="refused"}': 1,
            "bark_time_to_first_audio_seconds_count": 1,
            "bark_request_seconds_count": 1,
            "bark_real_time_factor_count": 1,
            "bark_audio_seconds_total": pytest.approx(seconds, abs=1e-3),
            'bark_tokens_total{stage="semantic"}': 6,
            'bark_tokens_per_second{stage="semantic"}': pytest.approx(200),
            'bark_batch_rows_bucket{le="2.0",stage="semantic"}': 3,
            'bark_batch_rows_bucket{le="1.0",stage="semantic"}': 0,
            "bark_queue_length": 0,
            'bark_slots{stage="semantic"}': 8,
            'bark_slots_in_use{stage="semantic"}': 3,
        }.items():
            wait_until(lambda name=name, value=value: metric(served, name) == value)  # type: ignore[misc]


# What it logs


def test_a_request_is_one_line_without_its_text(
    served: Running, lines: list[logging.LogRecord]
) -> None:
    response = served.say("My secret", voice="alloy", seed=3)
    wait_until(lambda: bool(lines))
    (line,) = [json.loads(JsonLines().format(record)) for record in lines]
    expected = {"event": "request", "level": "info", "method": "POST", "status": 200, "seed": 3}
    expected |= {"path": "/v1/audio/speech", "characters": 9, "pieces": 1, "voice": "alloy"}
    expected |= {"format": "mp3", "outcome": "ok", "audio_seconds": SECONDS}
    assert {name: line[name] for name in expected} == expected
    assert line["request_id"] == response.headers["x-request-id"]
    assert "secret" not in json.dumps(line)


def test_texts_are_logged_if_asked_for(bark: ScriptedBark, lines: list[logging.LogRecord]) -> None:
    with running(lambda: bark, logs_texts=True) as served:
        served.say("Nothing\nto hide ♪")
    written = [JsonLines().format(record) for record in lines]
    assert all("\n" not in line and line.isascii() for line in written)
    assert "Nothing\nto hide ♪" in [json.loads(line).get("text") for line in written]


def test_a_warning_is_logged_without_its_words(
    lines: list[logging.LogRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    import warnings

    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    log_warnings()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        log_warnings()
        warnings.warn("my secret has 300 tokens", stacklevel=1)
    (line,) = [JsonLines().format(record) for record in lines]
    assert "UserWarning" in line
    assert "secret" not in line


# How it stops


def test_what_runs_may_finish_and_what_is_new_is_refused(bark: ScriptedBark) -> None:
    bark.answers = False
    with running(lambda: bark) as served, Background() as background:
        response = background(served.say, "Hello")
        bark.wait_for_jobs(1)
        served.server.stop()
        wait_until(lambda: served.service.gate.draining)
        late = served.say("Too late")
        assert refused(late, 503)["code"] == "shutting_down"
        assert int(late.headers["retry-after"]) >= 1
        refused(served.http.get("/ready"), 503)
        assert served.http.get("/health").status_code == 200
        bark.jobs[0].end()
        assert response.result().status_code == 200
        served.thread.join(WAIT_SECONDS)
        assert not served.thread.is_alive()
    assert bark.is_closed
    assert len(bark.jobs) == 1


def test_what_does_not_finish_in_time_gets_an_error(bark: ScriptedBark) -> None:
    bark.answers = False
    body = {"input": LONG, "voice": "alloy", "response_format": "pcm", "stream_format": "sse"}
    with running(lambda: bark, shutdown_seconds=0.5) as served, Background() as background:
        begun = background(served.http.post, "/v1/audio/speech", json=body)
        bark.wait_for_jobs(3)[0].end()
        waiting = background(served.say, "Hello")
        bark.wait_for_jobs(4)
        served.server.stop()
        assert refused(waiting.result(), 503)["code"] == "shutting_down"
        assert '"code": "shutting_down"' in begun.result().text
        served.thread.join(WAIT_SECONDS)
        assert not served.thread.is_alive()
    assert [job.was_cancelled for job in bark.jobs] == [False, True, True, True]


# What it is given


@pytest.mark.parametrize(
    "settings",
    [
        {"max_text_characters": 0},
        {"max_body_bytes": 0},
        {"pieces_at_once": 0},
        {"request_seconds": 0},
        {"shutdown_seconds": float("inf")},
        {"silence_seconds": -1},
        {"api_key": ""},
        {"api_key": "schlüssel"},
        {"api_key": "two\nlines"},
    ],
)
def test_settings_out_of_range_are_one_line(settings: dict[str, Any]) -> None:
    with pytest.raises(OptionsError) as caught:
        ServerSettings(model_id="x", **settings)
    assert_one_line(caught.value, "expected")


def test_an_address_that_is_taken_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServerError) as caught:
            open_socket("127.0.0.1", port)
    assert_one_line(caught.value, f"127.0.0.1:{port}", "cannot listen", "--port")


def test_a_host_that_does_not_exist_is_one_line() -> None:
    with pytest.raises(ServerError) as caught:
        open_socket("no.such.host.invalid", 0)
    assert_one_line(caught.value, "no.such.host.invalid", "cannot listen", "--host")


def test_the_page_asks_nobody_else(served: Running) -> None:
    response = served.http.get("/")
    assert response.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in response.headers["content-security-policy"]
    for path in ("/", "/page/page.js", "/page/page.css"):
        text = served.http.get(path).text
        assert "http://" not in text
        assert "https://" not in text


@pytest.mark.parametrize("path", ["/page/../errors.py", "/page/..%2ferrors.py", "/page/%2e%2e/"])
def test_the_page_is_all_there_is_to_read(served: Running, path: str) -> None:
    with socket.create_connection((served.http.base_url.host, served.http.base_url.port)) as raw:
        raw.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        assert raw.makefile("rb").readline().split()[1] == b"404"


@pytest.mark.parametrize(
    ("path", "kind", "begin"),
    [
        ("/v1/audio/speech", "application/json", "{"),
        ("/v1/audio/voices", "multipart/form-data; boundary=x", "--x"),
    ],
)
def test_a_body_that_never_comes_is_not_waited_for(
    impatient: Running, path: str, kind: str, begin: str
) -> None:
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\ncontent-length: 99\r\n"
    with impatient.connected() as raw:
        raw.sendall(f"{head}connection: close\r\n\r\n{begin}".encode())
        answer = raw.makefile("rb").read()
    assert answer.split()[1] == b"408"
    assert b"The body did not come" in answer


def test_nothing_is_found_elsewhere(served: Running) -> None:
    refused(served.http.get("/v1/nothing"), 404, "no such thing")
    response = served.http.put("/v1/models")
    refused(response, 405, "expected GET")
    assert response.headers["allow"] == "GET"


def test_a_client_by_hand_gets_an_answer_too(served: Running, tmp_path: Path) -> None:
    response = httpx2.get(f"{served.url}/v1/models/tts-1")
    assert response.json()["id"] == "tts-1"
    refused(httpx2.get(f"{served.url}/v1/models/nothing"), 404, "nothing")
