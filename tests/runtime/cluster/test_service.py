"""A cluster on this machine: faults, limits, voices, tiers, and its end."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openai
import pytest

pytest.importorskip("ray", reason="the extra [ray] is missing: make test-ray has it")

from bark_onnx.runtime import Bark
from tests.support.cluster import (
    COMMAND,
    START_SECONDS,
    WAIT_SECONDS,
    ClusterProcess,
    Killer,
    serve_on_ray,
    wait_for,
)
from tests.support.cluster_requests import SENTENCES, catalogue, speak
from tests.support.server_process import RunningServer, running_server

LONG = " ".join(SENTENCES * 4)
REQUESTS = 500
VOICES = ("v2/en_speaker_0", "v2/en_speaker_1", "alloy")


def openai_client(url: str) -> openai.OpenAI:
    """A client that repeats nothing: what it sees is what the server does."""
    return openai.OpenAI(
        base_url=f"{url}/v1", api_key="any", max_retries=0, timeout=WAIT_SECONDS * 3
    )


@pytest.fixture(scope="session")
def single() -> Iterator[RunningServer]:
    """The server of one machine, whose sounds are the right ones."""
    with running_server(lambda: Bark.load("demo", threads=1)) as found:
        yield found


def test_nothing_is_lost_or_wrong_while_replicas_are_killed(
    cluster: ClusterProcess, single: RunningServer
) -> None:
    requests = catalogue(VOICES)
    with openai_client(single.url) as client:
        expected = [speak(client, request) for request in requests]
    cluster.wait_for_speakers()
    killer = Killer(cluster, seed=0)
    order = np.random.default_rng(0).permutation(np.arange(REQUESTS) % len(requests))
    with openai_client(cluster.url) as client, ThreadPoolExecutor(8) as threads:

        def speak_and_count(number: int) -> bool:
            is_right = speak(client, requests[number]) == expected[number]
            killer.count()
            return is_right

        found = list(threads.map(speak_and_count, order))
    wrong = [int(number) for number, is_right in zip(order, found, strict=True) if not is_right]
    assert wrong == []
    assert len(killer.killed) >= 5
    assert cluster.events("speaker replica lost")
    statuses = {
        line["status"] for line in cluster.events("request") if line["path"].startswith("/v1/")
    }
    assert statuses == {200}


def test_a_stream_survives_the_death_of_every_replica_that_says_it(
    cluster: ClusterProcess, single: RunningServer
) -> None:
    cluster.wait_for_speakers()
    body = {"input": LONG, "seed": 4, "response_format": "pcm", "max_seconds": 3}
    expected = single.http.post("/v1/audio/speech", json=body).content
    received = b""
    killed: list[int] = []
    with cluster.http.stream("POST", "/v1/audio/speech", json=body) as response:
        assert response.status_code == 200
        for chunk in response.iter_bytes():
            if not received:
                killed = cluster.speakers()
                for pid in killed:
                    os.kill(pid, signal.SIGKILL)
            received += chunk
    assert len(killed) == 2
    assert received == expected


def test_every_replica_says_a_part_of_a_long_text(cluster: ClusterProcess) -> None:
    cluster.wait_for_speakers()
    before = _codec_runs(cluster)
    body = {"input": LONG, "max_seconds": 3, "voice": "alloy", "semantic_max_new_tokens": 40}
    for seed in range(3):
        assert cluster.http.post("/v1/audio/speech", json={**body, "seed": seed}).status_code == 200
    after = _codec_runs(cluster)
    assert all(after[replica] > before.get(replica, 0) for replica in after)
    assert len(after) == 2


def test_a_client_that_leaves_cancels_its_segments(cluster: ClusterProcess) -> None:
    cluster.wait_for_speakers()
    body = {"input": LONG, "max_seconds": 3, "voice": "alloy", "response_format": "pcm"}
    with cluster.http.stream("POST", "/v1/audio/speech", json=body) as response:
        next(response.iter_bytes())
    wait_for(lambda: _load(cluster) == 0, seconds=30)


def test_metrics_have_the_labels_of_ray(cluster: ClusterProcess) -> None:
    cluster.wait_for_speakers()
    assert cluster.http.post("/v1/audio/speech", json={"input": "Hello!"}).status_code == 200
    whole = cluster.http.get("/metrics").text
    tiers = {name: cluster.http.get(f"/metrics/{name}").text for name in ("ingress", "speaker")}
    for name, text in tiers.items():
        samples = [line for line in text.splitlines() if line and not line.startswith("#")]
        assert samples
        assert all(f'deployment="{name}"' in line for line in samples)
        assert all('application="' in line and 'replica="' in line for line in samples)
    assert 'bark_requests_total{application="' in whole
    assert 'bark_tokens_total{application="' in whole
    assert "bark_tokens_total{" not in tiers["ingress"]


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_each_tier_and_the_whole_report_their_state(cluster: ClusterProcess, path: str) -> None:
    cluster.wait_for_speakers()
    for place in (path, f"{path}/ingress", f"{path}/speaker"):
        assert cluster.http.get(place).status_code == 200, place
    assert cluster.http.get(f"{path}/typist").status_code == 404


def test_an_uploaded_voice_survives_the_death_of_every_replica(
    cluster: ClusterProcess, single: RunningServer, tmp_path: Path
) -> None:
    single.service.bark.speak("Hello!", seed=1).to_voice().save(tmp_path / "mine.npz")
    done = cluster.http.post(
        "/v1/audio/voices",
        data={"name": "mine"},
        files={"file": (tmp_path / "mine.npz").read_bytes()},
    )
    assert done.status_code == 201, done.text
    body = {"input": "Hello!", "voice": "mine", "seed": 2, "response_format": "wav"}
    first = cluster.http.post("/v1/audio/speech", json=body)
    for pid in cluster.speakers():
        os.kill(pid, signal.SIGKILL)
    second = cluster.http.post("/v1/audio/speech", json=body)
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.content == second.content
    assert cluster.http.delete("/v1/audio/voices/mine").status_code == 200


def test_a_full_cluster_says_when_to_try_again() -> None:
    arguments = ("--max-batch-size", 1, "--max-queue", 1, "--client-share", 1)
    with serve_on_ray(*arguments) as small, ThreadPoolExecutor(8) as threads:
        body = {"input": "Good morning. How are you?", "voice": "alloy"}
        found = [threads.submit(small.http.post, "/v1/audio/speech", json=body) for _ in range(8)]
        responses = [each.result() for each in found]
        refused = [each for each in responses if each.status_code == 429]
        assert {each.status_code for each in responses} == {200, 429}
        assert all(int(each.headers["retry-after"]) >= 1 for each in refused)
        # The end: a request that runs is finished, and nothing that was started is left.
        processes = [pid for pid, _ in small.processes()]
        running = threads.submit(small.http.post, "/v1/audio/speech", json={**body, "input": LONG})
        wait_for(lambda: _load(small) > 0)
        small.process.send_signal(signal.SIGTERM)
        assert running.result().status_code == 200
        assert small.process.wait(WAIT_SECONDS) == -signal.SIGTERM
        wait_for(lambda: not any(map(_is_alive, processes)), seconds=30)


def test_a_signal_ends_a_server_that_waits_for_its_first_replica() -> None:
    with serve_on_ray(is_ready=False) as starting:
        time.sleep(1)
        starting.process.send_signal(signal.SIGTERM)
        assert starting.process.wait(WAIT_SECONDS) == -signal.SIGTERM
        assert not starting.events("failed")


def test_speakers_that_cannot_start_are_a_one_line_error() -> None:
    done = subprocess.run(
        [COMMAND, "serve", "-m", "demo", "--ray", "--port", "0", "--precision", "fp16"],
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("bark-onnx: The speaker replicas cannot start: ")
    assert "fp16" in last
    assert "int8" in last


def _codec_runs(cluster: ClusterProcess) -> dict[str, float]:
    """Segments that each replica has said."""
    found = {}
    for line in cluster.http.get("/metrics/speaker").text.splitlines():
        if line.startswith("bark_tokens_total{") and 'stage="codec"' in line:
            found[line.split('replica="')[1].split('"')[0]] = float(line.rsplit(" ", 1)[1])
    return found


def _load(cluster: ClusterProcess) -> float:
    """Segments that all replicas hold."""
    lines = cluster.http.get("/metrics/speaker").text.splitlines()
    names = ("bark_requests_waiting{", "bark_requests_running{")
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(names))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return b"\nState:\tZ" not in Path(f"/proc/{pid}/status").read_bytes()
