"""Requests submitted at random times from several threads."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from bark_onnx.runtime import Bark, GenerationOptions, Speech, SpeechFuture

PATIENCE = 60.0  # seconds until a test that hangs fails
SAMPLED = GenerationOptions()
GREEDY = GenerationOptions.greedy()
TEXTS = ["Hello, my dog is cute", "b c d", "What a day! " * 10, "x"]
REQUESTS: list[dict[str, Any]] = [
    {
        "text": TEXTS[index % len(TEXTS)],
        "voice": "v2/en_speaker_0" if index % 3 == 1 else None,
        "seed": index,
        "options": GREEDY if index % 5 == 4 else SAMPLED,
        "semantic_max_new_tokens": 15 + 9 * (index % 4),
    }
    for index in range(8)
]


def assert_same(one: Speech, other: Speech) -> None:
    """Check that tokens, samples and metadata are equal."""
    for name in ("semantic_tokens", "coarse_tokens", "fine_tokens", "samples"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert (one.text, one.voice_name, one.seed) == (other.text, other.voice_name, other.seed)


def assert_same_speeches(ours: Sequence[Speech], theirs: Sequence[Speech]) -> None:
    """Check that two streams have equal speeches at the same places."""
    for one, other in zip(ours, theirs, strict=True):
        assert_same(one, other)
        assert one.start_seconds == other.start_seconds


def under_load(bark: Bark, seed: int) -> list[Speech]:
    """Submit all requests from three threads at random times, and others that are cancelled."""
    futures: dict[int, SpeechFuture] = {}
    order = np.random.default_rng(seed).permutation(len(REQUESTS))

    def submit(part: int) -> None:
        rng = np.random.default_rng([seed, part])
        for index in order[part::3]:
            threading.Event().wait(rng.random() * 0.02)
            if rng.random() < 0.5:
                future = bark.submit(**REQUESTS[index])
                threading.Event().wait(rng.random() * 0.02)
                future.cancel()
            futures[index] = bark.submit(**REQUESTS[index])

    threads = [threading.Thread(target=submit, args=(part,)) for part in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [futures[index].result(PATIENCE) for index in range(len(REQUESTS))]
