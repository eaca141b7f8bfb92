"""Fake futures finish when a driver waits for them."""

from collections.abc import Callable, Collection
from typing import Any

import pytest

from bark_onnx.runtime.longform import streaming
from tests.support.fake_engine import FakeFuture


@pytest.fixture(autouse=True)
def finish_when_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """One by one, in the order of their segments."""
    real: Callable[[Collection[Any]], Any] = streaming.wait_any

    def wait_any(futures: Collection[Any]) -> Any:
        fakes = [future for future in futures if isinstance(future, FakeFuture)]
        if not fakes:
            return real(futures)
        if not any(future.done() for future in fakes):
            fakes[0].finish()
        return {future for future in fakes if future.done()}

    monkeypatch.setattr(streaming, "wait_any", wait_any)
