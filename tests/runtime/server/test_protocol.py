"""HTTP itself: HEAD, slashes at the end, long heads and names, clients that close their half."""

import json
import logging
import socket

import pytest

from bark_onnx.runtime.server.logs import JsonLines
from tests.runtime.server.test_speech import refused
from tests.support.server_process import RunningServer, wait_until

GET_PATHS = ["/", "/page/page.js", "/health", "/ready", "/metrics", "/openapi.json"]
GET_PATHS += ["/v1/models", "/v1/models/tts-1", "/v1/audio/voices"]


@pytest.mark.parametrize("path", GET_PATHS)
def test_head_is_get_without_the_body(server: RunningServer, path: str) -> None:
    got, response = server.http.get(path), server.http.head(path)
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"] == got.headers["content-type"]
    if path != "/metrics":  # which changes
        assert response.headers["content-length"] == str(len(got.content))


def test_head_of_unknown_paths_and_of_post(server: RunningServer) -> None:
    assert server.http.head("/nothing").status_code == 404
    response = server.http.head("/v1/audio/speech")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert "HEAD" in server.http.put("/health").headers["allow"]


def test_slash_at_the_end_makes_no_difference(server: RunningServer) -> None:
    for path in ("/v1/models/", "/v1/audio/voices/", "/v1/audio/voices///", "/health/"):
        response = server.http.get(path)
        assert response.status_code == 200, path
        assert response.json() == server.http.get(path.rstrip("/")).json()
    assert server.http.post("/v1/audio/speech/", json={"input": "Hello"}).status_code == 200
    response = server.http.delete("/v1/audio/voices/")
    refused(response, 405, "expected GET, HEAD, POST")


def test_guarded_paths_stay_guarded_with_slashes(server: RunningServer) -> None:
    headers = {"origin": "https://evil.example"}
    for path in ("/v1/models/", "/metrics/", "/metrics//"):
        refused(server.http.get(path, headers=headers), 403)


def test_long_path_is_cut_in_the_message_and_in_the_log(
    server: RunningServer, log_records: list[logging.LogRecord]
) -> None:
    response = server.http.get("/" + "x" * 50_000)
    assert len(refused(response, 404, "not found", "…")["message"]) < 200
    wait_until(lambda: bool(log_records))
    assert len(JsonLines().format(log_records[0])) < 1000


def test_long_key_is_cut_in_the_message(server: RunningServer) -> None:
    response = server.speak(**{"k" * 100_000: 1})
    error = refused(response, 400, "kkk…")
    assert len(json.dumps(error)) < 400


@pytest.mark.parametrize("kind", ["path", "query", "fields"])
def test_long_head_is_refused(server: RunningServer, kind: str) -> None:
    query = f"/health?{'q' * 70_000}" if kind == "query" else "/health"
    path = "/" + "x" * 70_000 if kind == "path" else query
    fields = "".join(f"x-{n}: {'v' * 50}\r\n" for n in range(1300)) if kind == "fields" else ""
    with server.connect() as raw:
        raw.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n".encode())
        assert raw.makefile("rb").readline().split()[1] in (b"431", b"400")


def test_client_of_http_1_0_needs_no_host(server: RunningServer) -> None:
    with server.connect() as raw:
        raw.sendall(b"GET /v1/models HTTP/1.0\r\n\r\n")
        assert raw.makefile("rb").readline().split()[1] == b"200"


def test_client_that_closes_its_half_is_gone(server: RunningServer) -> None:
    """The documented limit of asyncio: the end of sending is the end of the connection."""
    with server.connect() as raw:
        raw.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert raw.recv(12) == b"HTTP/1.1 200"
        raw.shutdown(socket.SHUT_WR)
        while raw.recv(1000):
            pass


@pytest.mark.parametrize(
    "body", [b"\xff\xfe\x00", b'{"input": "\xff"}', b"[" * 100_000, b"\x1f\x8b\x08\x00"]
)
def test_body_that_cannot_be_parsed_is_named(server: RunningServer, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    response = server.http.post("/v1/audio/speech", content=body, headers=headers)
    refused(response, 400, "The body is not JSON")
