"""Everything at once, again and again: what half an hour brings a busy small server.

`--soak-rounds` says how often; `make soak` asks for more than `make test`.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import pytest

from bark_onnx.runtime import Bark, Voice
from tests.runtime.server.conftest import WAIT_SECONDS, wait_until
from tests.support.server_process import Started, read_metrics, started
from tests.support.soak.catalogue import SECRET, VoiceQuery, catalogue
from tests.support.soak.clients import MUCH_TOKENS, PATIENCE_SECONDS, Clients
from tests.support.soak.ledger import Ledger, growth
from tests.support.soak.meter import Held, held

MAX_BATCH_SIZE, MAX_QUEUE = 4, 24
SETTINGS: dict[str, Any] = {
    "--threads": 1,
    "--max-batch-size": MAX_BATCH_SIZE,
    "--max-queue": MAX_QUEUE,
    "--max-body-bytes": 20_000,
    "--max-connections": 450,
    "--client-seconds": 6,
}
CROWD = 200  # clients at once, and as many that hold a connection and say nothing
SPREAD_SECONDS = 2.0  # over which the others come
LISTENERS = 20
LEAVERS = 6  # before the first sound; and so many at once, when nobody else is there
# From round to round the allocators of C and ONNX Runtime hold up to 32 MB more or less. In two
# rounds this finds what loses a sixth of their 0.3 GB; in thirty, 3 MB a round: six sounds.
MOST_GROWTH_MEGABYTES = 48.0

_TOKENS = 'bark_tokens_total{stage="semantic"}'


@pytest.fixture(scope="module")
def bark(demo_bundle: Path) -> Iterator[Bark]:
    with Bark.load(demo_bundle, threads=1) as found:
        yield found


@pytest.fixture(scope="module")
def voices(bark: Bark) -> dict[str, Voice]:
    """To be uploaded."""
    return {
        name: bark.speak("I am", seed=seed, semantic_max_new_tokens=40).to_voice(name)
        for seed, name in enumerate(("mine", "yours"))
    }


@pytest.fixture(scope="module")
def wanted(bark: Bark, voices: dict[str, Voice]) -> list[VoiceQuery]:
    return catalogue(bark, voices)


@pytest.fixture
def served(demo_bundle: Path, voices: dict[str, Voice], tmp_path: Path) -> Iterator[Started]:
    """A server in a process of its own, which has the voices."""
    settings = [part for pair in SETTINGS.items() for part in pair]
    with started("-m", demo_bundle, "--uploads", tmp_path / "uploads", *settings) as found:
        for name, voice in voices.items():
            voice.save(tmp_path / "voice.npz")
            files = {"file": (tmp_path / "voice.npz").read_bytes()}
            answer = found.http.post("/v1/audio/voices", data={"name": name}, files=files)
            assert answer.status_code == 201, answer.text
        yield found


def test_half_an_hour_of_everything(
    served: Started, wanted: list[VoiceQuery], pytestconfig: pytest.Config
) -> None:
    rounds = pytestconfig.getoption("--soak-rounds")
    assert rounds >= 2, "--soak-rounds: expected 2 or more, of which the first half warms up"
    _check_flat([_round(served, wanted, Random(number)) for number in range(rounds)])
    asyncio.run(_stop_under_load(served, wanted))
    assert served.process.wait(WAIT_SECONDS) in (0, -signal.SIGTERM)
    served.reader.join(WAIT_SECONDS)
    assert [line for line in served.log if line["level"] != "info"] == []
    assert SECRET not in str(served.log)


def _round(served: Started, wanted: list[VoiceQuery], rng: Random) -> Held:
    """Some seconds of everything; what the server holds when everybody has gone."""
    before, ledger = served.metrics(), Ledger()
    asyncio.run(_nobody_stays(served.url, ledger))
    wait_until(lambda: _unfinished(served.metrics()) == 0)
    done = growth(before, served.metrics())[_TOKENS]
    assert done < LEAVERS * MUCH_TOKENS / 2, f"{done} steps for those who left"
    asyncio.run(_everybody(served.url, ledger, wanted, rng))
    wait_until(lambda: _unfinished(served.metrics()) == 0)
    ledger.check_counts(growth(before, served.metrics()))
    ledger.check_sounds()
    found = held(served.process.pid)
    print(found, f"{dict(ledger.seen)} and {ledger.left} left", sep=", ")
    return found


async def _nobody_stays(url: str, ledger: Ledger) -> None:
    """Clients that leave before any sound, as many as the queue holds."""
    async with _clients(url, ledger) as clients:
        await asyncio.wait_all(*(clients.leaves_before_the_sound(0.1) for _ in range(LEAVERS)))


async def _everybody(url: str, ledger: Ledger, wanted: list[VoiceQuery], rng: Random) -> None:
    """One round's clients, the queue watched all the while."""
    async with _clients(url, ledger) as clients, asyncio.TaskGroup() as group:
        watching = group.create_task(_watch_queue(clients.http))
        come = [
            *(clients.listens(rng.choice(wanted)) for _ in range(LISTENERS)),
            *(clients.errs(number) for number in range(9)),
            *(clients.sends_too_much(100_000, chunked=chunked) for chunked in (False, True)),
            *(clients.leaves_before_the_sound(rng.random() / 4) for _ in range(LEAVERS)),
            *(clients.leaves_in_the_middle(rng.choice(wanted)) for _ in range(6)),
            *(clients.hardly_reads() for _ in range(2)),
            *(clients.never_ends_its_head() for _ in range(3)),
            *(clients.never_ends_its_body() for _ in range(3)),
            *(clients.says_nothing() for _ in range(CROWD)),
        ]
        crowd = [clients.listens(rng.choice(wanted), retries=False) for _ in range(CROWD)]
        moments = [rng.random() * SPREAD_SECONDS for _ in come] + [SPREAD_SECONDS] * CROWD
        await asyncio.wait_all(*map(_after, moments, [*come, *crowd]))
        watching.cancel()


async def _stop_under_load(served: Started, wanted: list[VoiceQuery]) -> None:
    """SIGTERM while requests run: they are all answered, and what comes later is refused."""
    before, ledger = served.metrics(), Ledger()
    short = [each for each in wanted if len(each.utterance.pieces) == 1]
    accepted = short[: MAX_BATCH_SIZE + MAX_QUEUE - 4]
    async with _clients(served.url, ledger) as clients, asyncio.TaskGroup() as group:
        for each in accepted:
            group.create_task(clients.listens(each, retries=False))
        while _taken(before, await _metrics(clients.http)) < len(accepted):
            await asyncio.sleep(0.01)
        for _ in range(5):
            group.create_task(clients.hardly_reads())
            group.create_task(clients.never_ends_its_head())
            group.create_task(clients.never_ends_its_body())
        await asyncio.sleep(0.1)
        served.process.send_signal(signal.SIGTERM)
        for each in short:
            group.create_task(clients.listens_while_it_ends(each))
            await asyncio.sleep(0.02)
    assert ledger.seen["ok"] >= len(accepted)
    ledger.check_sounds()


def _check_flat(moments: list[Held]) -> None:
    """Compare what was held after the warm-up, the first half, and at the end.

    What a moment finds above the least of several is what the allocators keep for next time.
    """
    middle = len(moments) // 2
    (warm, end) = (
        Held(
            min(each.megabytes for each in half),
            max(each.files for each in half),
            max(each.threads for each in half),
        )
        for half in (moments[:middle], moments[middle:])
    )
    told = f"in the first half {warm}, in the second {end}"
    assert end.megabytes - warm.megabytes < MOST_GROWTH_MEGABYTES, told
    assert end.files <= warm.files, told
    assert end.threads <= warm.threads, told


@asynccontextmanager
async def _clients(url: str, ledger: Ledger) -> AsyncIterator[Clients]:
    # Idle connections end sooner than the server would end them.
    limits = httpx2.Limits(max_connections=None, keepalive_expiry=1.0)
    async with httpx2.AsyncClient(base_url=url, limits=limits, timeout=PATIENCE_SECONDS) as http:
        yield Clients(http, url, ledger)


async def _after(seconds: float, client: Awaitable[None]) -> None:
    await asyncio.sleep(seconds)
    await client


async def _watch_queue(http: httpx2.AsyncClient) -> None:
    """See that the queue is bounded, and the process alive, again and again."""
    while True:
        metrics = await _metrics(http)
        assert _unfinished(metrics) <= MAX_BATCH_SIZE + MAX_QUEUE, metrics
        assert (await http.get("/health")).status_code == 200
        await asyncio.sleep(0.05)


async def _metrics(http: httpx2.AsyncClient) -> dict[str, float]:
    return read_metrics((await http.get("/metrics")).text)


def _unfinished(metrics: dict[str, float]) -> float:
    return metrics["bark_queue_length"] + metrics["bark_jobs_running"]


def _taken(before: dict[str, float], now: dict[str, float]) -> float:
    """Requests of one piece that were accepted since."""
    return growth(before, now).get('bark_requests_total{outcome="ok"}', 0) + _unfinished(now)
