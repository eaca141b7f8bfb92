"""Clients that ask a server for speech, each for one after the other."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import httpx2
import numpy as np
from prometheus_client.parser import text_string_to_metric_families

_SAMPLE_BYTES, _RATE_HZ = 2, 24_000


@dataclass(frozen=True)
class Answer:
    """What one request came to."""

    first_audio_seconds: float
    seconds: float
    audio_seconds: float


async def ask_all(url: str, bodies: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """Ask for all bodies, each client for its own, and measure the whole.

    Args:
        url: URL of the server.
        bodies: JSON bodies of speech requests, for each client.
    """
    async with httpx2.AsyncClient(base_url=url, timeout=None) as http:
        steps, sequences = await _steps(http)
        started = time.perf_counter()
        answers = [
            answer
            for each in await asyncio.gather(*(_ask(http, client) for client in bodies))
            for answer in each
        ]
        seconds = time.perf_counter() - started
        more_steps, more_sequences = await _steps(http)
    first, last = np.percentile([answer.first_audio_seconds for answer in answers], (50, 95))
    middle, longest = np.percentile([answer.seconds for answer in answers], (50, 95))
    return {
        "requests": len(answers),
        "audio_per_second": sum(answer.audio_seconds for answer in answers) / seconds,
        "first_audio_p50": float(first),
        "first_audio_p95": float(last),
        "latency_p50": float(middle),
        "latency_p95": float(longest),
        "mean_batch_size": (more_sequences - sequences) / (more_steps - steps),
    }


async def _ask(http: httpx2.AsyncClient, bodies: list[dict[str, Any]]) -> list[Answer]:
    """The requests of one client, one after the other."""
    answers = []
    for body in bodies:
        started = time.perf_counter()
        first, size = 0.0, 0
        async with http.stream("POST", "/v1/audio/speech", json=body) as response:
            response.raise_for_status()
            async for chunk in response.aiter_bytes():
                first = first or time.perf_counter() - started
                size += len(chunk)
        seconds = time.perf_counter() - started
        audio_seconds = size / _SAMPLE_BYTES / _RATE_HZ
        answers.append(Answer(first, seconds, audio_seconds))
    return answers


async def _steps(http: httpx2.AsyncClient) -> tuple[float, float]:
    """Steps of the coarse stage so far, and the sequences in them."""
    families = text_string_to_metric_families((await http.get("/metrics")).text)
    samples = [sample for family in families for sample in family.samples]

    def total(name: str) -> float:  # of all replicas
        return sum(
            sample.value
            for sample in samples
            if sample.name == name and sample.labels.get("stage") == "coarse"
        )

    return total("bark_batch_size_count"), total("bark_batch_size_sum")
