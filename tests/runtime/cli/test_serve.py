"""bark-onnx serve: options, errors, and SIGTERM under load."""

import json
import os
import re
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import httpx2
import pytest

import bark_onnx.runtime.cli.serve as command
from bark_onnx.graphs.installation import install_command
from bark_onnx.runtime.server.settings import ServerSettings
from tests.support.messages import assert_one_line
from tests.support.server_process import (
    ENTRY_POINT,
    WAIT_SECONDS,
    Background,
    server_process,
    wait_until,
)

ROOT = Path(__file__).parents[3]


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ENTRY_POINT, "serve", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=60,
    )


def test_help_lists_every_option_with_its_variable() -> None:
    text = " ".join(run("--help").stdout.split())
    for option in command.serve.params:
        assert isinstance(option, click.Option)
        assert option.opts[-1] in text
        if option.name not in ("help", "bundle"):
            name = option.opts[-1].removeprefix("--").replace("-", "_").upper()
            assert f"env var: BARK_ONNX_SERVE_{name}" in text
        assert option.help, option.name
    assert "BARK_ONNX_MODEL" in text


def test_every_setting_has_an_option() -> None:
    names = {option.name for option in command.serve.params}
    assert names >= set(ServerSettings.__dataclass_fields__)


def test_options_become_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, random_bundle: Path
) -> None:
    received: dict[str, Any] = {}

    def serve(settings: ServerSettings, load: Any, **rest: Any) -> None:
        received.update(rest, settings=settings, load=load.keywords)

    monkeypatch.setattr(command, "_import_server", lambda: serve)
    monkeypatch.setenv("BARK_ONNX_SERVE_API_KEY", "hush")
    monkeypatch.setenv("BARK_ONNX_SERVE_CORS_ORIGIN", "https://a.example https://b.example")
    table = tmp_path / "voices.json"
    table.write_text('{"any": null}')
    arguments = ["-m", str(random_bundle), "--voices", str(table), "--max-batch-size", "3"]
    arguments += ["--max-queue", "5", "--no-warm-up", "--log-texts", "--uploads", str(tmp_path)]
    command.serve.main([*arguments, "--request-seconds", "9"], standalone_mode=False)
    assert received["settings"] == ServerSettings(
        model_id=random_bundle.name,
        api_key="hush",
        cors_origins=("https://a.example", "https://b.example"),
        aliases={"any": None},
        uploads=tmp_path,
        request_seconds=9,
        warms_up=False,
        logs_texts=True,
    )
    assert (received["host"], received["port"]) == ("127.0.0.1", 8000)
    assert (received["load"]["max_batch_size"], received["load"]["max_queue"]) == (3, 5)


@pytest.mark.parametrize(("given", "warns"), [("option", True), ("variable", False)])
def test_key_on_the_command_line_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, random_bundle: Path, caplog: Any, given: str, warns: bool
) -> None:
    received: list[ServerSettings] = []
    monkeypatch.setattr(
        command, "_import_server", lambda: lambda settings, *_, **__: received.append(settings)
    )
    monkeypatch.setattr("bark_onnx.runtime.server.logs.configure_logs", lambda level: None)
    arguments = ["-m", str(random_bundle)]
    if given == "option":
        arguments += ["--api-key", "hush"]
    else:
        monkeypatch.setenv("BARK_ONNX_SERVE_API_KEY", "hush")
    command.serve.main(arguments, standalone_mode=False)
    assert received[0].api_key == "hush"
    assert [record.getMessage() for record in caplog.records] == ["insecure option"] * warns
    for record in caplog.records:
        assert "--api-key-file" in record.fields["expected"]
        assert "hush" not in str(record.fields)


@pytest.mark.parametrize("text", ["", "schlüssel"])
def test_malformed_file_of_keys_is_a_one_line_error(
    random_bundle: Path, tmp_path: Path, text: str
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(text)
    done = run("-m", random_bundle, "--port", 0, "--api-key-file", keys)
    failed(done, 1, str(keys), "expected")


@pytest.mark.parametrize("option", ["--ray-address", "--replicas", "--max-replicas"])
def test_option_of_a_cluster_needs_a_cluster(random_bundle: Path, option: str) -> None:
    done = run("-m", random_bundle, "--port", 0, option, "1")
    failed(done, 1, option, "needs --ray")


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed, so it is not missing")
def test_missing_ray_is_a_one_line_error(random_bundle: Path) -> None:
    done = run("-m", random_bundle, "--port", 0, "--ray")
    failed(done, 1, "The package ray is missing", "pip install", "[cpu,serve,ray]")


def failed(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    assert done.returncode == status
    last = done.stderr.splitlines()[-1]
    assert_one_line(last, "bark-onnx: ", *words)
    assert "Traceback" not in done.stderr


def test_missing_bundle_is_a_one_line_error(tmp_path: Path) -> None:
    failed(run("-m", tmp_path / "none", "--port", 0), 1, "none", "no such folder", "bark-export")


def test_invalid_alias_is_a_one_line_error(random_bundle: Path, tmp_path: Path) -> None:
    table = tmp_path / "voices.json"
    table.write_text('{"alloy": "unknown"}')
    failed(run("-m", random_bundle, "--port", 0, "--voices", table), 1, "'alloy'", "'unknown'")


def test_missing_packages_are_a_one_line_error() -> None:
    code = (
        "import sys; sys.modules['fastapi'] = None; sys.argv[1:] = ['serve', '-m', 'x']; "
        "from bark_onnx.runtime.cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    failed(done, 1, "fastapi", install_command("cpu,serve"))


@pytest.mark.parametrize("error", ["ImportError('broken av')", "MemoryError()"])
def test_start_that_fails_with_anything_is_a_one_line_error(
    random_bundle: Path, error: str
) -> None:
    code = (
        "import sys; import bark_onnx.runtime.server.service as service\n"
        f"def fails(*_): raise {error}\n"
        "service._warm_up = fails\n"
        f"sys.argv[1:] = ['serve', '-m', {str(random_bundle)!r}, '--port', '0']\n"
        "from bark_onnx.runtime.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=WAIT_SECONDS
    )
    assert done.returncode == 1
    *lines, last = done.stderr.splitlines()
    assert_one_line(last, "bark-onnx: ", "cannot start", error.partition("(")[0])
    (line,) = [line for line in map(json.loads, lines) if line["level"] == "error"]
    assert "traceback" in line


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_second_signal_ends_the_server_at_once(random_bundle: Path, sent: signal.Signals) -> None:
    """Waiting clients get their 503, and nothing is logged as an error."""
    arguments = ["-m", random_bundle, "--threads", 1, "--max-batch-size", 2]
    arguments += ["--shutdown-seconds", 600, "--max-text-characters", 100_000]
    body = {"input": "Hello there, how are you today? " * 1000, "response_format": "wav"}
    with server_process(*arguments) as server, Background(4) as background:

        def post() -> httpx2.Response:
            return httpx2.post(f"{server.url}/v1/audio/speech", json=body, timeout=WAIT_SECONDS)

        waiting = [background(post) for _ in range(4)]
        wait_until(lambda: "bark_slots_in_use" in server.http.get("/metrics").text)
        wait_until(lambda: server.metrics()['bark_slots_in_use{stage="semantic"}'] == 2)
        server.process.send_signal(sent)
        wait_until(lambda: server.http.get("/ready").status_code == 503)
        server.process.send_signal(sent)
        assert server.process.wait(WAIT_SECONDS) == -sent
        for future in waiting:
            response = future.result()
            assert response.status_code == 503
            assert response.json()["error"]["code"] == "shutting_down"
        server.reader.join(WAIT_SECONDS)
        assert {line["level"] for line in server.log} == {"info"}


def test_every_request_gets_a_response_after_sigterm(random_bundle: Path) -> None:
    body = {"input": "Hello there. " * 8, "voice": "alloy", "response_format": "wav"}
    with (
        server_process("-m", random_bundle, "--threads", 1, "--max-batch-size", 2) as server,
        Background(12) as background,
    ):
        process, http = server.process, server.http

        def post() -> httpx2.Response:
            return httpx2.post(f"{server.url}/v1/audio/speech", json=body, timeout=WAIT_SECONDS)

        first = [background(post) for _ in range(6)]
        wait_until(lambda: 'bark_slots_in_use{stage="semantic"} 2' in http.get("/metrics").text)
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: http.get("/ready").status_code == 503)
        late = [background(post) for _ in range(3)]
        responses = [future.result() for future in first]
        assert {response.status_code for response in responses} <= {200, 503}
        assert 200 in {response.status_code for response in responses}
        for response in (*responses, *(future.result() for future in late)):
            if response.status_code == 200:
                assert int(response.headers["content-length"]) == len(response.content) > 44
            else:
                assert response.json()["error"]["code"] == "shutting_down"
        assert {future.result().status_code for future in late} == {503}
        assert process.wait(WAIT_SECONDS) in (0, -signal.SIGTERM)


def test_deployment_files_refer_to_existing_options() -> None:
    folder = ROOT / "deploy"
    dockerfile = (folder / "Dockerfile").read_text()
    assert re.findall(r"\[([\w,]+)\]'", dockerfile) == ["cpu,serve"]
    for line in re.findall(r"^COPY (?!--)(.*) \S+$", dockerfile, re.MULTILINE):
        assert all((ROOT / name).exists() for name in line.split())
    unit = (folder / "bark-onnx.service").read_text()
    flags = {option.opts[-1] for option in command.serve.params}
    settings = ServerSettings(model_id="x")
    for name in ("nginx.conf", "nginx-unix-socket.conf"):
        proxy = (folder / name).read_text()
        assert set(re.findall(r"--[a-z-]+", proxy)) <= flags
        assert f"client_max_body_size {settings.max_body_bytes >> 20}m;" in proxy
        assert f"proxy_read_timeout {settings.request_seconds:g}s;" in proxy
        assert "proxy_set_header Host $http_host;" in proxy
    drop_in = (folder / "bark-onnx-unix-socket.conf").read_text()
    texts = unit + drop_in + dockerfile
    variables = set(re.findall(r"BARK_ONNX_(?:SERVE_[A-Z_]+[A-Z]|MODEL)", texts))
    known = {option.envvar for option in command.serve.params if isinstance(option, click.Option)}
    assert variables <= known
    assert len(variables) >= 3
    stop = int(re.search(r"TimeoutStopSec=(\d+)", unit)[1])  # type: ignore[index]
    assert stop > ServerSettings(model_id="x").shutdown_seconds


def test_proxy_of_the_deployment_files_uses_the_socket_of_the_unit() -> None:
    folder, defaults = ROOT / "deploy", ServerSettings(model_id="x")
    drop_in = (folder / "bark-onnx-unix-socket.conf").read_text()
    proxy = (folder / "nginx-unix-socket.conf").read_text()
    path = re.search(r"UNIX_SOCKET=(\S+)", drop_in)[1]  # type: ignore[index]
    assert f"server unix:{path};" in proxy
    assert f"RuntimeDirectory={Path(path).parent.name}\n" in drop_in
    assert f"client_max_body_size {defaults.max_body_bytes >> 20}m;" in proxy
    assert f"proxy_read_timeout {defaults.request_seconds:.0f}s;" in proxy
    assert "X-Forwarded-For $remote_addr;" in proxy  # not what the client sent


def test_proxies_of_the_deployment_files_have_the_same_limits() -> None:
    def directives(name: str) -> list[str]:
        lines = (ROOT / "deploy" / name).read_text().splitlines()
        return [line for line in lines if not line.startswith("#")]

    socket = "    server unix:/run/bark-onnx/bark-onnx.sock;"
    expected = [
        line.replace("    server 127.0.0.1:8000;", socket) for line in directives("nginx.conf")
    ]
    assert directives("nginx-unix-socket.conf") == expected
    assert {"limit_conn", "limit_req"} <= {line.split()[0] for line in expected if line.strip()}


@pytest.mark.parametrize(("option", "kind"), [("--port", "integer"), ("--client-share", "number")])
def test_value_that_is_not_a_number_is_called_so(option: str, kind: str) -> None:
    failed(run("-m", "bundle", option, "abc"), 2, option, f"'abc' is not a valid {kind};")
