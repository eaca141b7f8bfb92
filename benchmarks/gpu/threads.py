"""Two engines in two threads, loads beside speech, low memory, and the ends of batch sizes."""

import threading
from functools import partial
from typing import Any

import numpy as np
from models import bundle_folder

from bark_onnx.runtime import Bark, GenerationOptions
from gpu.bundles import SMALL
from gpu.day import Day, Notes

_TEXTS = ("Hello", "Good morning to you", "Bye", "How are you", "Thank you")
_SETTINGS: dict[str, Any] = {
    "options": GenerationOptions.greedy(),
    "semantic_max_new_tokens": 30,
}
_LOADS = 20


def run(_: Day, notes: Notes) -> None:
    """See the module."""
    folder = bundle_folder(SMALL, ("fp32", "fp16"))
    with Bark.load(folder, provider="cuda") as bark:
        expected = _speak(bark)
    notes.attempt("two engines", lambda: _two_engines(str(folder), expected, notes))
    equal = 0
    for _attempt in range(_LOADS):
        with Bark.load(folder, provider="cuda", max_batch_size=2, wait=False) as bark:
            equal += _same(_speak(bark), expected)
    notes.check("loads in the background after which speech is equal", equal, _LOADS)
    for name, options in (
        ("low memory", {"low_memory": True}),
        ("max_batch_size 1", {"max_batch_size": 1}),
        ("max_batch_size 32", {"max_batch_size": 32}),
    ):
        found = notes.attempt(name, partial(_load_and_speak, str(folder), options))
        if found is not None:
            notes.check(f"speech is equal, {name}", _same(found, expected), True)


def _load_and_speak(folder: str, options: dict[str, Any]) -> list[Any]:
    with Bark.load(folder, provider="cuda", **options) as bark:
        return _speak(bark)


def _speak(bark: Bark) -> list[Any]:
    """Semantic tokens of some texts, said alone."""
    return [bark.speak(text, **_SETTINGS).semantic_tokens for text in _TEXTS]


def _same(found: list[Any], expected: list[Any]) -> bool:
    return all(np.array_equal(*pair) for pair in zip(found, expected, strict=True))


def _two_engines(folder: str, expected: list[Any], notes: Notes) -> None:
    found: dict[int, Any] = {}

    def work(index: int) -> None:
        found[index] = notes.attempt(
            f"engine {index} of two", lambda: _load_and_speak(folder, {"wait": False})
        )

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, speech in found.items():
        is_equal = speech is not None and _same(speech, expected)
        notes.check(f"speech of engine {index} of two is equal", is_equal, True)
