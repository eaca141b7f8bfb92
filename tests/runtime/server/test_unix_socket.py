"""Unix sockets: a proxy on the same machine reaches the server without a TCP port."""

import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from bark_onnx.graphs.errors import ServerError
from bark_onnx.runtime.engine.clients import Client
from bark_onnx.runtime.server.server import make_server
from bark_onnx.runtime.server.service import SpeechService
from bark_onnx.runtime.server.settings import ServerSettings
from bark_onnx.runtime.server.unix_socket import open_unix_socket
from tests.support.messages import assert_one_line
from tests.support.scripted_bark import ScriptedBark
from tests.support.server_process import ENTRY_POINT, WAIT_SECONDS, wait_until

if not hasattr(socket, "AF_UNIX"):
    pytest.skip("this system has no Unix sockets", allow_module_level=True)


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s") / "bark.sock"


@pytest.fixture
def http(path: Path, bark: ScriptedBark) -> Iterator[httpx2.Client]:
    """A client of a server on a Unix socket."""
    service = SpeechService(ServerSettings(model_id="scripted"), lambda: bark)  # type: ignore[arg-type,return-value]
    server = make_server(service, trusts_proxy=True)
    with open_unix_socket(path, backlog=8) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        transport = httpx2.HTTPTransport(uds=str(path))
        with httpx2.Client(base_url="http://localhost", transport=transport) as found:
            wait_until(lambda: found.get("/ready").status_code == 200)
            yield found
        server.stop()
        thread.join(WAIT_SECONDS)
        assert not thread.is_alive()


def test_server_speaks_over_a_unix_socket(http: httpx2.Client, bark: ScriptedBark) -> None:
    response = http.post("/v1/audio/speech", json={"input": "Hello", "response_format": "pcm"})
    assert response.status_code == 200
    assert len(response.content) > 1000
    assert bark.clients[-1] == Client("local", 0.5)


def test_proxy_names_the_client(http: httpx2.Client, bark: ScriptedBark) -> None:
    headers = {"x-forwarded-for": "203.0.113.7"}
    response = http.post("/v1/audio/speech", json={"input": "Hello"}, headers=headers)
    assert response.status_code == 200
    assert bark.clients[-1] == Client("address 203.0.113.7", 0.5)


def test_socket_is_for_its_user_and_group_and_removed_at_the_end(path: Path) -> None:
    with open_unix_socket(path, backlog=1):
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert not path.exists()


def test_socket_of_a_killed_server_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with open_unix_socket(path, backlog=1), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_socket_that_another_server_has_put_there_is_kept(path: Path) -> None:
    with open_unix_socket(path, backlog=1):
        path.rename(path.with_suffix(".old"))
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
    assert path.exists()


def test_socket_in_use_is_a_one_line_error(path: Path) -> None:
    with (
        open_unix_socket(path, backlog=1),
        pytest.raises(ServerError) as caught,
        open_unix_socket(path, backlog=1),
    ):
        pass
    assert_one_line(caught.value, str(path), "another process", "--unix-socket")


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_other_file_is_not_replaced(path: Path, kind: str) -> None:
    if kind == "file":
        path.write_text("kept")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(path.parent / "elsewhere")
    with pytest.raises(ServerError) as caught, open_unix_socket(path, backlog=1):
        pass
    assert_one_line(caught.value, str(path), "another file", "--unix-socket")
    assert path.is_symlink() or path.exists()


@pytest.mark.parametrize("name", ["none/bark.sock", "x" * 200])
def test_impossible_path_is_a_one_line_error(path: Path, name: str) -> None:
    with pytest.raises(ServerError) as caught, open_unix_socket(path.parent / name, backlog=1):
        pass
    assert_one_line(caught.value, name, "cannot listen", "--unix-socket")


def test_command_listens_on_the_socket_until_a_signal(path: Path, random_bundle: Path) -> None:
    arguments = ["-m", random_bundle, "--unix-socket", path, "--threads", "1"]
    process = subprocess.Popen(
        [ENTRY_POINT, "serve", *map(str, arguments)], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        assert f"unix:{path}" in process.stderr.readline()
        transport = httpx2.HTTPTransport(uds=str(path))
        with httpx2.Client(base_url="http://localhost", transport=transport) as http:
            wait_until(lambda: http.get("/ready").status_code == 200)
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_SECONDS) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.wait(WAIT_SECONDS)
        process.stderr.close()
    assert not path.exists()


def test_socket_is_removed_at_a_signal_before_the_server_runs(path: Path) -> None:
    code = """if True:
        import signal, sys
        from pathlib import Path
        from bark_onnx.runtime.server.server import DrainingServer, serve
        from bark_onnx.runtime.server.settings import ServerSettings
        from tests.support.scripted_bark import ScriptedBark

        path, run = Path(sys.argv[1]), DrainingServer.run

        def run_after_a_signal(self, sockets):
            assert path.is_socket()
            signal.raise_signal(signal.SIGTERM)
            run(self, sockets)

        DrainingServer.run = run_after_a_signal
        settings = ServerSettings(model_id="scripted")
        serve(settings, ScriptedBark, host="", port=0, unix_socket=path)
    """
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
    )
    assert done.returncode == -signal.SIGTERM, done.stderr
    assert "error" not in done.stderr
    assert list(path.parent.iterdir()) == []
