"""Thousands of connections that do not continue, against a process with 1,024 files."""

import resource
from pathlib import Path
from time import monotonic
from typing import Any

import httpx2
import pytest

from tests.support.flood import flood
from tests.support.server_process import WAIT_SECONDS, server_process

COUNTS = {"silent": 3000, "unfinished bodies": 3000, "unread responses": 1000}
FILES = 1024
MAX_LOG_BYTES = 1_000_000


@pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_NOFILE)[1] < max(COUNTS.values()) + 200,
    reason="the attacker may not open as many files",
)
@pytest.mark.parametrize("kind", COUNTS)
def test_flood_leaves_the_server_answering(
    random_bundle: Path, kind: str, record_property: Any
) -> None:
    """/health is answered throughout; the measured times are recorded, not judged."""
    arguments = ("-m", random_bundle, "--threads", 1, "--no-warm-up")
    with server_process(*arguments, max_files=FILES) as server:
        port = int(server.url.rsplit(":", 1)[1])
        seconds = []
        with flood(port, kind, COUNTS[kind]) as wait:
            for _ in range(20):
                seconds.append(_ask(server.url))
            wait()
            for _ in range(20):
                seconds.append(_ask(server.url))
        assert _open_files(server.process.pid) < FILES
        assert httpx2.post(
            f"{server.url}/v1/audio/speech", json={"input": "Hello"}, timeout=WAIT_SECONDS
        ).is_success
    assert sum(len(str(line)) for line in server.log) < MAX_LOG_BYTES
    assert [line for line in server.log if line["level"] != "info"] == []
    record_property("flood", f"{kind}: /health after {max(seconds):.3f} s at most")
    print(f"{kind}: /health after {max(seconds):.3f} s at most, {len(server.log)} lines")


def _ask(url: str) -> float:
    began = monotonic()
    assert httpx2.get(f"{url}/health", timeout=WAIT_SECONDS).status_code == 200
    return monotonic() - began


def _open_files(pid: int) -> int:
    return len([*Path(f"/proc/{pid}/fd").iterdir()])
