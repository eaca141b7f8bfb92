"""The server's own trouble: its status, its log line, and what a client learns of it."""

import errno
import json
import logging
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import httpx2
import pytest

import bark_onnx.graphs.voices.npz as npz
import bark_onnx.runtime.server.audio_encoder as audio_encoder
import bark_onnx.runtime.server.readiness as readiness_module
from bark_onnx.graphs.errors import BundleError, EngineError, ServerError, VoiceError
from bark_onnx.runtime import Bark, Voice
from bark_onnx.runtime.server.logs import JsonLines
from tests.runtime.server.test_speech import LONG, refused
from tests.support.messages import assert_one_line
from tests.support.scripted_bark import ScriptedBark, tone
from tests.support.server_process import Background, RunningServer, running_server, wait_until

SECRET_PATH = "/home/operator/bark"
Records = list[logging.LogRecord]


def voice_file(folder: Path) -> bytes:
    path = folder / "voice.npz"
    tone("", 0).to_voice("me").save(path)
    return path.read_bytes()


def raises(error: BaseException, cause: BaseException | None = None) -> Callable[..., NoReturn]:
    def function(*_: Any, **__: Any) -> NoReturn:
        raise error from cause

    return function


def check_failure(response: httpx2.Response, records: Records, cause: str) -> None:
    """Check that a 500 does not show its cause, which the log has under the same id."""
    error = refused(response, 500)
    assert error["type"] == "server_error"
    assert SECRET_PATH not in response.text
    assert cause not in response.text
    request_id = response.headers["x-request-id"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert request_id in error["message"]
    failed = [json.loads(JsonLines().format(each)) for each in records if each.levelname == "ERROR"]
    (line,) = failed
    assert cause in line["error"]
    assert line["request_id"] == request_id


@pytest.fixture
def upload_server(bark: ScriptedBark, tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(lambda: bark, uploads=tmp_path / "uploads") as found:
        yield found


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.ENOENT, errno.EACCES])
def test_voice_that_cannot_be_stored_is_the_server_s_failure(
    upload_server: RunningServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    log_records: Records,
    number: int,
) -> None:
    data = voice_file(tmp_path)
    cause = OSError(number, "Disk trouble", SECRET_PATH)
    error = VoiceError(f"{SECRET_PATH}: cannot be written (Disk trouble)")
    monkeypatch.setattr(Voice, "save", raises(error, cause))
    form: dict[str, Any] = {"data": {"name": "me"}, "files": {"file": data}}
    response = upload_server.http.post("/v1/audio/voices", **form)
    check_failure(response, log_records, "Disk trouble")


def test_upload_that_no_memory_is_left_for_is_the_server_s_failure(
    upload_server: RunningServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    log_records: Records,
) -> None:
    form: dict[str, Any] = {"data": {"name": "me"}, "files": {"file": voice_file(tmp_path)}}
    with monkeypatch.context() as patched:
        patched.setattr(npz, "parse_npy", raises(MemoryError("Unable to allocate 2 MiB")))
        response = upload_server.http.post("/v1/audio/voices", **form)
    check_failure(response, log_records, "2 MiB")


def test_voice_that_cannot_be_deleted_is_the_server_s_failure(
    upload_server: RunningServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    log_records: Records,
) -> None:
    form: dict[str, Any] = {"data": {"name": "me"}, "files": {"file": voice_file(tmp_path)}}
    assert upload_server.http.post("/v1/audio/voices", **form).status_code == 201
    with monkeypatch.context() as patched:
        error = OSError(errno.EROFS, "Read-only", SECRET_PATH)
        patched.setattr(Path, "unlink", raises(error))
        response = upload_server.http.delete("/v1/audio/voices/me")
    check_failure(response, log_records, "Read-only")


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (VoiceError(f"{SECRET_PATH}: not a voice: memory"), MemoryError()),
        (VoiceError(f"{SECRET_PATH}: not a voice: memory"), None),  # a lost or damaged file
        (BundleError(f"{SECRET_PATH}: memory"), FileNotFoundError()),
        (MemoryError("memory"), None),
        (OSError(errno.EMFILE, "no memory", SECRET_PATH), None),
    ],
)
def test_failure_before_the_generation_is_the_server_s(
    bark: ScriptedBark,
    monkeypatch: pytest.MonkeyPatch,
    log_records: Records,
    error: Exception,
    cause: BaseException | None,
) -> None:
    with running_server(lambda: bark) as server:
        monkeypatch.setattr(bark, "plan", raises(error, cause))
        check_failure(server.speak(), log_records, "memory")


def test_failure_of_any_route_has_an_id_and_all_headers(
    server: RunningServer,
    monkeypatch: pytest.MonkeyPatch,
    log_records: Records,
    caplog: pytest.LogCaptureFixture,
) -> None:
    error = RuntimeError(f"{SECRET_PATH} is broken")
    monkeypatch.setattr(server.service.metrics, "text", raises(error))
    check_failure(server.http.get("/metrics"), log_records, "is broken")
    assert "uvicorn.error" not in {record.name for record in caplog.records}


def test_missing_memory_while_a_body_is_parsed_is_the_server_s_failure(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, log_records: Records
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("starlette.requests.json.loads", raises(MemoryError("no memory")))
        headers = {"content-type": "application/json"}
        response = server.http.post("/v1/audio/speech", content=b"{}", headers=headers)
    check_failure(response, log_records, "no memory")


# Encoders


@pytest.mark.parametrize("name", ["open_encoder", "TimeStretcher"])
def test_encoders_are_opened_outside_the_event_loop(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    function, threads = getattr(audio_encoder, name), []

    def record(*args: Any, **kwargs: Any) -> Any:
        threads.append(threading.current_thread())
        return function(*args, **kwargs)

    monkeypatch.setattr(audio_encoder, name, record)
    assert server.speak(LONG, response_format="flac", speed=1.5).status_code == 200
    assert len(threads) == 1
    assert server.thread not in threads


@pytest.mark.parametrize("name", ["open_encoder", "TimeStretcher"])
def test_missing_memory_of_an_encoder_is_the_server_s_failure(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, log_records: Records, name: str
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(audio_encoder, name, raises(MemoryError("no memory")))
        check_failure(server.speak(), log_records, "no memory")
    assert server.speak().status_code == 200


# Readiness


def test_server_is_not_ready_while_every_request_fails(
    bark: ScriptedBark, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness_module, "_PROBE_SECONDS", 0.0)
    with running_server(lambda: bark) as server:
        bark.failure = EngineError("The model is gone")
        for _ in range(3):
            assert server.http.get("/ready").status_code == 200
            refused(server.speak(), 500)
        wait_until(lambda: server.http.get("/ready").status_code == 503)  # counted after the end
        for _ in range(3):
            error = refused(server.http.get("/ready"), 503, "speech requests failed")
            assert error["code"] == "failing"
        assert server.http.get("/health").status_code == 200
        refused(server.speak(), 500)  # it may succeed: it is not refused
        bark.failure = None
        wait_until(lambda: server.http.get("/ready").status_code == 200)  # without a request


def test_one_success_makes_the_server_ready(bark: ScriptedBark) -> None:
    with running_server(lambda: bark) as server:
        for failure in (EngineError("Broken"), None):
            bark.failure = failure
            for _ in range(4):
                server.speak()
            wait_until(
                lambda failure=failure: (  # type: ignore[misc]
                    server.http.get("/ready").status_code == (503 if failure else 200)
                )
            )


def test_server_that_lost_its_bundle_is_not_ready(random_bundle: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(random_bundle, tmp_path / "bundle")
    with running_server(lambda: Bark.load(folder, threads=1, low_memory=True)) as server:
        assert server.http.get("/ready").status_code == 200
        shutil.rmtree(folder)
        for _ in range(3):
            error = refused(server.speak(), 500)
            assert str(tmp_path) not in error["message"]
        wait_until(lambda: server.http.get("/ready").status_code == 503)


# Start and end


@pytest.mark.parametrize(
    "error", [ImportError("failed to map segment\nof av"), MemoryError(), ValueError("x")]
)
def test_start_that_fails_with_anything_ends_the_server(
    error: Exception, log_records: Records
) -> None:
    with running_server(raises(error), wait=False) as server:
        server.join()
        assert isinstance(server.service.startup_error, ServerError)
        assert_one_line(server.service.startup_error, "cannot start", type(error).__name__)
    assert any(record.exc_info for record in log_records)


def test_start_finds_a_broken_encoder(
    bark: ScriptedBark, monkeypatch: pytest.MonkeyPatch, log_records: Records
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with running_server(lambda: bark, wait=False) as server:
        server.join()
        assert_one_line(server.service.startup_error, "cannot start", "av")
    assert any(record.exc_info for record in log_records)


def test_stream_that_the_shutdown_cuts_is_no_error(
    bark: ScriptedBark, log_records: Records, caplog: pytest.LogCaptureFixture
) -> None:
    bark.completes = False
    body = {"input": LONG, "voice": "alloy", "response_format": "pcm"}
    with running_server(lambda: bark, shutdown_seconds=0.5) as server, Background() as background:
        background(lambda: bark.wait_for_futures(3)[0].finish())
        with server.http.stream("POST", "/v1/audio/speech", json=body) as response:
            chunks = response.iter_bytes()
            next(chunks)
            server.server.stop()
            with pytest.raises(httpx2.RemoteProtocolError):
                list(chunks)
        server.join()
    (line,) = [each.fields for each in log_records if each.getMessage() == "request"][-1:]  # type: ignore[attr-defined]
    assert (line["status"], line["outcome"]) == (200, "cut")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_every_line_of_the_log_is_json() -> None:
    """Those of the engine, of other libraries, of threads, and of the event loop."""
    code = """if True:
        import asyncio, logging, threading, warnings
        from bark_onnx.runtime.server.logs import configure_logs, log, log_warnings
        configure_logs("info")
        log_warnings()
        log.info("one")
        logging.getLogger("python_multipart.multipart").warning("Found %r", "invalid")
        try:
            raise RuntimeError("two\\nlines")
        except RuntimeError:
            logging.getLogger("bark_onnx.runtime.engine.engine").exception("The engine died")
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
        warnings.warn("a text")
        async def main():
            asyncio.get_running_loop().call_soon(lambda: 1 / 0)
            await asyncio.sleep(0)
        asyncio.run(main())
        logging.getLogger("uvicorn.error").error("last")
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line.get("logger", "")[:10] for line in lines] == [
        *("", "python_mul", "bark_onnx.", "", "", "asyncio", "uvicorn.er")
    ]
    assert sum("traceback" in line for line in lines) == 3
