"""`bark-onnx serve --ray` in its own process, and the processes that it starts."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

COMMAND = Path(sys.executable).with_name("bark-onnx")
START_SECONDS = 300.0  # Ray's processes need 15 s, and several times as long on a busy machine
WAIT_SECONDS = 120.0
MODEL = "demo"


@dataclass
class ClusterProcess:
    """The command, which is the ingress, and the speaker replicas beneath it."""

    process: subprocess.Popen[bytes]
    url: str
    http: httpx2.Client
    log: Path

    def events(self, event: str) -> list[dict[str, Any]]:
        """Lines of the log about an event."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line[:1] == "{"]
        return [line for line in lines if line["event"] == event]

    def speakers(self) -> list[int]:
        """Process ids of the speaker replicas."""
        return [
            pid for pid, title in self.processes() if "ServeReplica" in title and "speaker" in title
        ]

    def processes(self) -> list[tuple[int, str]]:
        """Process ids and titles of everything that the command has started."""
        listed = subprocess.run(
            ["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True
        ).stdout
        rows = [line.split(None, 2) for line in listed.splitlines()]
        known = {self.process.pid}
        found = {}
        for _ in range(4):  # generations: the command, the raylet, its workers, theirs
            for pid, parent, title in rows:
                if int(parent) in known:
                    known.add(int(pid))
                    found[int(pid)] = title
        return sorted(found.items())

    def wait_for_speakers(self, count: int = 2) -> None:
        """Wait until as many replicas take segments."""
        wait_for(lambda: self.running() >= count)

    def running(self) -> int:
        """Number of replicas whose metrics the server reports."""
        text = self.http.get("/metrics/speaker").text
        return len(
            {
                line.split('replica="')[1].split('"')[0]
                for line in text.splitlines()
                if "bark_requests_running{" in line
            }
        )


@contextmanager
def serve_on_ray(*arguments: object, is_ready: bool = True) -> Iterator[ClusterProcess]:
    """Run the command on a free port, from when it is ready; everything is killed at the end."""
    folder = Path(os.environ.get("TMPDIR", "/tmp"))
    log = folder / f"bark-onnx-ray-{os.getpid()}-{random.getrandbits(32):08x}.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [COMMAND, "serve", "-m", MODEL, "--ray", "--port", "0", *map(str, arguments)],
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        wait_for(lambda: b"\n" in log.read_bytes() or process.poll() is not None)
        url = json.loads(log.read_text().splitlines()[0])["url"]
        with httpx2.Client(base_url=url, timeout=WAIT_SECONDS) as http:
            if is_ready:
                wait_for(lambda: _is_ready(http), START_SECONDS)
            yield ClusterProcess(process, url, http, log)
    except BaseException:
        sys.stderr.write(log.read_text())
        raise
    finally:
        process.terminate()
        try:
            process.wait(WAIT_SECONDS)
        finally:
            process.kill()
            process.wait()
            log.unlink()


def _is_ready(http: httpx2.Client) -> bool:
    try:
        return http.get("/ready").status_code == 200
    except httpx2.TransportError:  # a process that starts on a busy machine drops connections
        return False


def wait_for(holds: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
    """Poll a condition that another process fulfills."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"the condition did not hold within {seconds} s"
        time.sleep(0.1)


class Killer:
    """Kills a random speaker replica after random numbers of answers, however fast they come."""

    def __init__(self, cluster: ClusterProcess, *, seed: int) -> None:
        self.killed: list[int] = []
        self._cluster = cluster
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._left = 10  # answers until the next death

    def count(self) -> None:
        """Count an answer; called by any thread."""
        with self._lock:
            self._left -= 1
            if self._left > 0:
                return
            self._left = self._random.randint(20, 80)
            found = self._cluster.speakers()
            if found:
                victim = self._random.choice(found)
                os.kill(victim, signal.SIGKILL)
                self.killed.append(victim)
