"""A `Bark` without a model, for tests of the command line."""

import typing
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from bark_onnx.runtime import Speech


class FakeBark:
    """Records its arguments, and generates a tenth of a second of silence."""

    loaded: typing.ClassVar[list[tuple[str, dict[str, Any]]]] = []
    planned: typing.ClassVar[list[tuple[str, dict[str, Any]]]] = []

    sample_rate_hz = 24_000

    @classmethod
    def load(cls, bundle: str, **settings: Any) -> "FakeBark":
        cls.loaded.append((bundle, settings))
        return cls()

    def describe(self) -> SimpleNamespace:
        return SimpleNamespace(precision="fp32", provider="cpu")

    def plan(self, text: str, **settings: Any) -> SimpleNamespace:
        self.planned.append((text, settings))
        return SimpleNamespace(segments=[SimpleNamespace(text=text)], stream=settings["stream"])

    def stream(self, plan: SimpleNamespace, *, on_progress: Any) -> Iterator[Speech]:
        on_progress("semantic", 1, 2)
        on_progress("coarse", 2, 2)
        tokens = np.zeros((8, 8), np.int64)
        (text,) = [segment.text for segment in plan.segments]
        yield Speech(np.zeros(2400, np.float32), 24_000, tokens[0], tokens[:2], tokens, text, "", 5)
