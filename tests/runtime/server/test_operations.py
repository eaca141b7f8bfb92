"""Operation of the server: access, readiness, metrics, logs, start and stop."""

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
from tests.runtime.server.test_speech import LONG, refused
from tests.support.messages import assert_one_line
from tests.support.scripted_bark import SECONDS, ScriptedBark
from tests.support.server_process import (
    WAIT_SECONDS,
    Background,
    RunningServer,
    running_server,
    wait_until,
)

KEY = "secret-key"
ORIGIN = "https://example.org"


# Access


@pytest.mark.parametrize("given", [None, "Bearer wrong", "Basic secret-key", "secret-key", "é"])
def test_requests_without_the_key_are_refused(bark: ScriptedBark, given: str | None) -> None:
    with running_server(lambda: bark, api_key=KEY) as server:
        headers = {} if given is None else {"authorization": given.encode()}
        for method, path in (
            ("POST", "/v1/audio/speech"),
            ("GET", "/v1/models"),
            ("GET", "/v1/audio/voices"),
            ("POST", "/v1/audio/voices"),
            ("DELETE", "/v1/audio/voices/me"),
            ("GET", "/metrics"),
        ):
            response = server.http.request(method, path, headers=headers)
            error = refused(response, 401, "Authorization: Bearer KEY")
            assert error["type"] == "authentication_error"
            assert response.headers["www-authenticate"] == "Bearer"
        for path in ("/", "/health", "/ready", "/page/page.js", "/openapi.json"):
            assert server.http.get(path).status_code == 200
        valid = {"authorization": f"Bearer {KEY}"}
        assert server.http.get("/v1/models", headers=valid).status_code == 200


def test_cross_site_requests_are_refused(server: RunningServer) -> None:
    headers = {"origin": ORIGIN, "sec-fetch-site": "cross-site"}
    response = server.http.get("/v1/models", headers=headers)
    refused(response, 403, "--cors-origin")
    preflight = {**headers, "access-control-request-method": "POST"}
    response = server.http.options("/v1/audio/speech", headers=preflight)
    assert not any(name.startswith("access-control") for name in response.headers)


def test_cross_site_requests_of_an_allowed_origin_are_accepted(bark: ScriptedBark) -> None:
    headers = {"origin": ORIGIN, "sec-fetch-site": "cross-site"}
    with running_server(lambda: bark, cors_origins=(ORIGIN,), api_key=KEY) as server:
        preflight = {
            **headers,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,content-type",
        }
        response = server.http.options("/v1/audio/speech", headers=preflight)
        assert response.headers["access-control-allow-origin"] == ORIGIN
        allowed = {**headers, "authorization": f"Bearer {KEY}"}
        response = server.http.get("/v1/models", headers=allowed)
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == ORIGIN
        # A page can read the error without the key.
        response = server.http.get("/v1/models", headers=headers)
        refused(response, 401)
        assert response.headers["access-control-allow-origin"] == ORIGIN
        other = {**headers, "origin": "https://example.com"}
        refused(server.http.get("/v1/models", headers=other), 403)


# Readiness and metrics


def test_server_is_alive_immediately_and_ready_after_the_warm_up(bark: ScriptedBark) -> None:
    may_load = threading.Event()

    def load() -> ScriptedBark:
        assert may_load.wait(WAIT_SECONDS)
        return bark

    with running_server(load, wait=False) as server:
        assert server.http.get("/health").json() == {"status": "ok"}
        response = server.http.get("/ready")
        assert refused(response, 503)["code"] == "not_ready"
        assert int(response.headers["retry-after"]) >= 1
        assert refused(server.speak(), 503)["code"] == "not_ready"
        refused(server.http.get("/v1/audio/voices"), 503)
        assert server.http.get("/v1/models").status_code == 200
        assert bark.warm_up_texts == []
        may_load.set()
        wait_until(lambda: server.http.get("/ready").json() == {"status": "ready"})
        assert len(bark.warm_up_texts) == 1
    assert bark.is_closed


def test_warm_up_is_skipped_when_disabled(bark: ScriptedBark) -> None:
    with running_server(lambda: bark, warms_up=False):
        assert bark.warm_up_texts == []


@pytest.mark.parametrize("error", [BundleError("No bundle"), OptionsError("Bad alias")])
def test_server_stops_when_the_bundle_cannot_be_loaded(error: BarkError) -> None:
    def load() -> Any:
        raise error

    with running_server(load, wait=False) as server:
        server.join()
        assert server.service.startup_error is error


def test_server_stops_and_closes_the_bundle_when_an_alias_is_invalid(bark: ScriptedBark) -> None:
    with running_server(lambda: bark, wait=False, aliases={"a": "unknown"}) as server:
        server.thread.join(WAIT_SECONDS)
        assert_one_line(server.service.startup_error, "'unknown'")
    assert bark.is_closed


def metric(server: RunningServer, name: str) -> float:
    lines = server.http.get("/metrics").text.splitlines()
    found = [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name} ")]
    return found[0] if found else 0.0


def test_metrics_count_requests_and_steps(bark: ScriptedBark) -> None:
    with running_server(lambda: bark) as server:
        assert server.speak(LONG, response_format="pcm").status_code == 200
        assert server.speak(voice="unknown").status_code == 400
        assert server.speak(seed="x").status_code == 400
        bark.max_queue = 0
        assert server.speak().status_code == 429
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
            'bark_batch_size_bucket{le="2.0",stage="semantic"}': 3,
            'bark_batch_size_bucket{le="1.0",stage="semantic"}': 0,
            "bark_requests_waiting": 0,
            'bark_slots{stage="semantic"}': 8,
            'bark_slots_in_use{stage="semantic"}': 3,
        }.items():
            wait_until(lambda name=name, value=value: metric(server, name) == value)  # type: ignore[misc]


# Logs


def test_request_is_logged_as_one_line_without_its_text(
    server: RunningServer, log_records: list[logging.LogRecord]
) -> None:
    response = server.speak("My secret", voice="alloy", seed=3)
    wait_until(lambda: bool(log_records))
    (line,) = [json.loads(JsonLines().format(record)) for record in log_records]
    expected = {"event": "request", "level": "info", "method": "POST", "status": 200, "seed": 3}
    expected |= {"path": "/v1/audio/speech", "characters": 9, "segments": 1, "voice": "alloy"}
    expected |= {"format": "mp3", "outcome": "ok", "audio_seconds": SECONDS}
    assert {name: line[name] for name in expected} == expected
    assert line["request_id"] == response.headers["x-request-id"]
    assert "secret" not in json.dumps(line)


def test_texts_are_logged_when_enabled(
    bark: ScriptedBark, log_records: list[logging.LogRecord]
) -> None:
    with running_server(lambda: bark, logs_texts=True) as server:
        server.speak("Nothing\nto hide ♪")
    written = [JsonLines().format(record) for record in log_records]
    assert all("\n" not in line and line.isascii() for line in written)
    assert "Nothing\nto hide ♪" in [json.loads(line).get("text") for line in written]


def test_warning_is_logged_without_its_message(
    log_records: list[logging.LogRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    import warnings

    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    log_warnings()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        log_warnings()
        warnings.warn("my secret has 300 tokens", stacklevel=1)
    (line,) = [JsonLines().format(record) for record in log_records]
    assert "UserWarning" in line
    assert "secret" not in line


# Shutdown


def test_running_requests_finish_and_new_ones_are_refused_after_a_signal(
    bark: ScriptedBark,
) -> None:
    bark.completes = False
    with running_server(lambda: bark) as server, Background() as background:
        running = background(server.speak, "Hello")
        bark.wait_for_futures(1)
        server.server.stop()
        wait_until(lambda: server.service.admission.is_draining)
        late = server.speak("Too late")
        assert refused(late, 503)["code"] == "shutting_down"
        assert int(late.headers["retry-after"]) >= 1
        refused(server.http.get("/ready"), 503)
        assert server.http.get("/health").status_code == 200
        bark.futures[0].finish()
        assert running.result().status_code == 200
        server.join()
    assert bark.is_closed
    assert len(bark.futures) == 1


def test_requests_that_do_not_finish_in_time_get_an_error(bark: ScriptedBark) -> None:
    bark.completes = False
    body = {"input": LONG, "voice": "alloy", "response_format": "pcm", "stream_format": "sse"}
    with running_server(lambda: bark, shutdown_seconds=0.5) as server, Background() as background:
        started = background(server.http.post, "/v1/audio/speech", json=body)
        bark.wait_for_futures(3)[0].finish()
        waiting = background(server.speak, "Hello")
        bark.wait_for_futures(4)
        server.server.stop()
        assert refused(waiting.result(), 503)["code"] == "shutting_down"
        assert '"code": "shutting_down"' in started.result().text
        server.join()
    assert [future.cancelled() for future in bark.futures] == [False, True, True, True]


# Settings, sockets, page


@pytest.mark.parametrize(
    "settings",
    [
        {"max_text_characters": 0},
        {"max_body_bytes": 0},
        {"concurrency": 0},
        {"request_seconds": 0},
        {"shutdown_seconds": float("inf")},
        {"silence_seconds": -1},
        {"api_key": ""},
        {"api_key": "schlüssel"},
        {"api_key": "two\nlines"},
    ],
)
def test_settings_out_of_range_are_a_one_line_error(settings: dict[str, Any]) -> None:
    with pytest.raises(OptionsError) as caught:
        ServerSettings(model_id="x", **settings)
    assert_one_line(caught.value, "expected")


def test_address_in_use_is_a_one_line_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ServerError) as caught:
            open_socket("127.0.0.1", port)
    assert_one_line(caught.value, f"127.0.0.1:{port}", "cannot listen", "--port")


def test_unknown_host_is_a_one_line_error() -> None:
    with pytest.raises(ServerError) as caught:
        open_socket("no.such.host.invalid", 0)
    assert_one_line(caught.value, "no.such.host.invalid", "cannot listen", "--host")


def test_page_refers_to_no_other_site(server: RunningServer) -> None:
    response = server.http.get("/")
    assert response.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in response.headers["content-security-policy"]
    for path in ("/", "/page/page.js", "/page/page.css"):
        text = server.http.get(path).text
        assert "http://" not in text
        assert "https://" not in text


@pytest.mark.parametrize("path", ["/page/../errors.py", "/page/..%2ferrors.py", "/page/%2e%2e/"])
def test_files_outside_the_page_are_not_served(server: RunningServer, path: str) -> None:
    with socket.create_connection((server.http.base_url.host, server.http.base_url.port)) as raw:
        raw.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
        assert raw.makefile("rb").readline().split()[1] == b"404"


@pytest.mark.parametrize(
    ("path", "kind", "begin"),
    [
        ("/v1/audio/speech", "application/json", "{"),
        ("/v1/audio/voices", "multipart/form-data; boundary=x", "--x"),
    ],
)
def test_incomplete_body_gets_a_408(
    strict_server: RunningServer, path: str, kind: str, begin: str
) -> None:
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ncontent-length: 99\r\n"
    )
    with strict_server.connect() as raw:
        raw.sendall(f"{head}connection: close\r\n\r\n{begin}".encode())
        answer = raw.makefile("rb").read()
    assert answer.split()[1] == b"408"
    assert b"The body is incomplete" in answer


def test_unknown_paths_and_methods_are_refused(server: RunningServer) -> None:
    refused(server.http.get("/v1/nothing"), 404, "not found")
    response = server.http.put("/v1/models")
    refused(response, 405, "expected GET, HEAD")
    assert response.headers["allow"] == "GET, HEAD"


def test_model_is_retrieved_by_name(server: RunningServer, tmp_path: Path) -> None:
    response = httpx2.get(f"{server.url}/v1/models/tts-1")
    assert response.json()["id"] == "tts-1"
    refused(httpx2.get(f"{server.url}/v1/models/nothing"), 404, "nothing")
