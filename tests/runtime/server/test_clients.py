"""Clients of the server: who they are, their shares, and their turns in threads."""

import asyncio
import contextlib
import threading
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bark_onnx.runtime import Bark
from bark_onnx.runtime.engine.clients import Client
from bark_onnx.runtime.server.clients import ClientThreads, address_of
from tests.runtime.server.test_speech import LONG, refused
from tests.support.scripted_bark import ScriptedBark
from tests.support.server_process import (
    WAIT_SECONDS,
    Background,
    RunningServer,
    running_server,
    wait_until,
)

SHORT = {"input": "Hello", "semantic_max_new_tokens": 20, "response_format": "pcm"}


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def speak(server: RunningServer, key: str, **fields: Any) -> httpx2.Response:
    """Request speech over a connection of its own."""
    body = {**SHORT, **fields}
    url = f"{server.url}/v1/audio/speech"
    return httpx2.post(url, json=body, headers=bearer(key), timeout=WAIT_SECONDS)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A file with the keys one, two and three."""
    path = tmp_path / "keys"
    path.write_text("one\ntwo\nthree\n")
    return path


# Identity


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (("192.0.2.1", 5000), "address 192.0.2.1"),
        (("::ffff:192.0.2.1", 5000), "address 192.0.2.1"),
        (("2001:db8:1:2:3:4:5:6", 5000), "address 2001:db8:1:2::/64"),
        (("fe80::1%eth0", 5000), "address fe80::/64"),
        (("x" * 1000, 0), f"address {'x' * 64}"),
        (None, "local"),
        (("", 0), "local"),
    ],
)
def test_a_client_without_a_key_is_its_address(address: Any, expected: str) -> None:
    assert address_of({"type": "http", "client": address}) == expected


def test_every_request_has_the_client_of_its_key(bark: ScriptedBark, keys: Path) -> None:
    with running_server(lambda: bark, api_key="zero", api_key_file=keys) as server:
        for key in ("zero", "one", "two", "two"):
            assert speak(server, key).status_code == 200
        refused(speak(server, "four"), 401)
    names = [client.name for client in bark.clients]
    assert names[2] == names[3]
    assert len({*names}) == 3
    assert not any(key in name for key in ("zero", "one", "two") for name in names)


@pytest.mark.parametrize("header", ["203.0.113.7", "203.0.113.8"])
def test_a_proxy_on_this_machine_names_the_client(
    server: RunningServer, bark: ScriptedBark, header: str
) -> None:
    response = server.http.post("/v1/audio/speech", json=SHORT, headers={"x-forwarded-for": header})
    assert response.status_code == 200
    assert bark.clients[-1] == Client(f"address {header}", 0.5)


# Shares


def test_a_client_at_its_share_of_the_connections_keeps_no_other_out(
    bark: ScriptedBark, keys: Path
) -> None:
    bark.completes = False
    with (
        running_server(lambda: bark, api_key_file=keys, max_connections=5) as server,
        Background(3) as background,
    ):
        running = [background(speak, server, "one") for _ in range(2)]
        bark.wait_for_futures(2)
        response = speak(server, "one")
        assert refused(response, 429, "of this client", "50%")["code"] == "queue_full"
        assert int(response.headers["retry-after"]) >= 1
        running.append(background(speak, server, "two"))
        for future in [*bark.wait_for_futures(3)]:
            future.finish()
        assert {each.result().status_code for each in running} == {200}
        wait_until(lambda: server.service.admission.running == 0)
        bark.completes = True
        assert speak(server, "one").status_code == 200


def test_a_greedy_client_does_not_keep_another_from_being_answered(
    random_bundle: Path, keys: Path
) -> None:
    statuses: list[int] = []
    is_over = threading.Event()

    def load() -> Bark:
        return Bark.load(random_bundle, threads=1, max_batch_size=2, max_queue=4)

    def hog(server: RunningServer) -> None:
        with httpx2.Client(base_url=server.url, timeout=WAIT_SECONDS) as http:
            while not is_over.is_set():
                response = http.post("/v1/audio/speech", json=SHORT, headers=bearer("one"))
                statuses.append(response.status_code)
                is_over.wait(0.05)

    with (
        running_server(load, api_key_file=keys, warms_up=False) as server,
        Background(6) as background,
    ):
        try:
            hogs = [background(hog, server) for _ in range(6)]
            wait_until(lambda: 429 in statuses)
            answers = [speak(server, key).status_code for key in ("two", "three") * 2]
        finally:
            is_over.set()
        for each in hogs:
            each.result()
    assert answers == [200] * 4
    assert {*statuses} == {200, 429}


def test_a_share_of_one_lets_a_single_client_use_the_whole_queue(
    bark: ScriptedBark, keys: Path
) -> None:
    with running_server(lambda: bark, api_key_file=keys, client_share=1.0) as server:
        assert speak(server, "one").status_code == 200
    assert bark.clients[-1].share == 1.0


# Threads


def test_server_responds_while_a_text_is_split(
    bark: ScriptedBark, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end, has_begun = threading.Event(), threading.Event()
    count = bark.count_tokens

    def wait(text: str) -> int:
        has_begun.set()
        assert may_end.wait(WAIT_SECONDS)
        return count(text)

    monkeypatch.setattr(bark, "count_tokens", wait)
    with running_server(lambda: bark, warms_up=False) as server, Background(1) as background:
        try:
            speaking = background(server.speak, LONG)
            assert has_begun.wait(WAIT_SECONDS)
            assert server.http.get("/health").status_code == 200
            assert server.http.get("/v1/models").status_code == 200
        finally:
            may_end.set()
        assert speaking.result().status_code == 200


def test_a_client_that_leaves_while_others_texts_are_split_is_not_served(
    bark: ScriptedBark, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end, has_begun = threading.Event(), threading.Event()
    plan = bark.plan

    def wait(*args: Any, **kwargs: Any) -> Any:
        has_begun.set()
        assert may_end.wait(WAIT_SECONDS)
        return plan(*args, **kwargs)

    monkeypatch.setattr(bark, "plan", wait)
    with (
        running_server(lambda: bark, api_key_file=keys, warms_up=False) as server,
        Background(1) as background,
    ):
        try:
            speaking = background(speak, server, "one")
            assert has_begun.wait(WAIT_SECONDS)
            with contextlib.suppress(httpx2.ReadTimeout):
                httpx2.post(
                    f"{server.url}/v1/audio/speech", json=SHORT, headers=bearer("one"), timeout=0.3
                )
            wait_until(lambda: server.service.admission.running == 1)
        finally:
            may_end.set()
        assert speaking.result().status_code == 200
    assert len(bark.plans) == len(bark.futures) == 1


def test_threads_do_one_thing_at_a_time_for_each_client() -> None:
    one, other = Client("one"), Client("other")
    running: dict[Client, int] = {one: 0, other: 0}
    most: dict[Client, int] = {one: 0, other: 0}
    order: list[str] = []

    def work(client: Client, label: str) -> str:
        running[client] += 1
        most[client] = max(most[client], running[client])
        time.sleep(0.005)
        running[client] -= 1
        order.append(label)
        return label

    async def main() -> list[str]:
        threads = ClientThreads()
        calls = [threads.run(one, work, one, f"one {number}") for number in range(20)]
        calls += [threads.run(other, work, other, f"other {number}") for number in range(2)]
        try:
            return await asyncio.gather(*calls)
        finally:
            threads.close()

    results = asyncio.run(main())
    assert results == [f"one {n}" for n in range(20)] + ["other 0", "other 1"]
    assert most == {one: 1, other: 1}
    assert [label for label in order if label.startswith("one")] == results[:20]
    assert order.index("other 1") < 10


def test_threads_raise_errors_and_go_on() -> None:
    async def main() -> int:
        threads = ClientThreads()
        try:
            with pytest.raises(ZeroDivisionError):
                await threads.run(Client("one"), lambda: 1 // 0)
            return await threads.run(Client("one"), lambda: 7)
        finally:
            threads.close()

    assert asyncio.run(main()) == 7


def test_a_cancelled_call_keeps_the_turn_until_its_thread_is_done() -> None:
    may_end, order = threading.Event(), []

    def first() -> None:
        assert may_end.wait(WAIT_SECONDS)
        order.append("first")

    async def main() -> None:
        threads = ClientThreads()
        try:
            call = asyncio.create_task(threads.run(Client("one"), first))
            await asyncio.sleep(0.01)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            second = asyncio.create_task(threads.run(Client("one"), order.append, "second"))
            await threads.run(Client("other"), order.append, "other")
            assert not second.done()
            may_end.set()
            await second
        finally:
            may_end.set()
            threads.close()

    asyncio.run(main())
    assert order == ["other", "first", "second"]
