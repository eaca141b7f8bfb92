"""Engines on scripted models."""

from collections.abc import Callable, Iterator

import pytest

from bark_onnx.runtime.engine.engine import Engine
from tests.support.scripted import ScriptedModels

Open = Callable[..., tuple[Engine, ScriptedModels]]


@pytest.fixture
def open_engine() -> Iterator[Open]:
    """Opens engines on scripted models, and closes them after the test."""
    engines = []

    def open_one(
        max_batch_size: int = 2, *, low_memory: bool = False, max_queue: int | None = None
    ) -> tuple[Engine, ScriptedModels]:
        models = ScriptedModels(max_batch_size, low_memory=low_memory)
        engines.append(Engine(models, max_queue=max_queue))
        return engines[-1], models

    yield open_one
    for engine in engines:
        engine.close()
        assert engine._thread is None or not engine._thread.is_alive()
