"""Modules of the benchmarks' package for recognition."""

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from shutil import which
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="session")
def recognition() -> Iterator[Callable[[str], ModuleType]]:
    """Import of a module of the package by its name."""
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(BENCHMARKS)
        pytest.importorskip("recognition", reason="the extra [recognition] is missing")
        yield lambda name: import_module(f"recognition.{name}")


@pytest.fixture
def record(recognition: Callable[[str], ModuleType]) -> Callable[[str, str], Any]:
    """Recording of a text by a voice of Festival Lite: samples and rate."""
    if which("flite") is None:
        pytest.skip("flite is not installed")
    return lambda voice, text: recognition("teachers").Flite(voice).record(text)
